//! A VirtualService's `tls` and `tcp`.

use ambit_kubernetes::istio::{RouteDestination, VirtualService};
use ambit_model::l7::route::{Action, Backend, Rule};

use super::notes::Unheard;
use super::virtual_destinations::Names;
use super::virtual_matches;

pub(super) fn tls(written: &VirtualService, names: &Names<'_>, unheard: &mut Unheard<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (at, route) in written.spec.tls.iter().enumerate() {
        let field = format!("spec.tls[{at}]");
        let Some(matches) = virtual_matches::tls(&route.matches, &field, unheard) else { continue };
        let action = forward(&route.route, &field, names, unheard);
        rules.push(Rule { matches, invalid: unheard.invalid.take(), ..Rule::new(action) });
    }
    rules
}

pub(super) fn tcp(written: &VirtualService, names: &Names<'_>, unheard: &mut Unheard<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (at, route) in written.spec.tcp.iter().enumerate() {
        let field = format!("spec.tcp[{at}]");
        let Some(matches) = virtual_matches::tcp(&route.matches, &field, unheard) else { continue };
        let action = forward(&route.route, &field, names, unheard);
        rules.push(Rule { matches, invalid: unheard.invalid.take(), ..Rule::new(action) });
    }
    rules
}

fn forward(
    written: &[RouteDestination],
    field: &str,
    names: &Names<'_>,
    unheard: &mut Unheard<'_>,
) -> Action {
    let alone = written.len() == 1;
    let mut backends = Vec::with_capacity(written.len());
    for (at, one) in written.iter().enumerate() {
        let field = format!("{field}.route[{at}].destination");
        let (to, invalid) = names.resolve(&one.destination, &field, unheard);
        let weight = if alone { 1 } else { u32::try_from(one.weight).unwrap_or(0) };
        backends.push(Backend { to, weight, filters: Vec::new(), invalid });
    }
    Action::Forward(backends)
}
