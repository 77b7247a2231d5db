//! Which rules does the kernel have, and how do they differ from the wanted ones?

use super::super::{Chain, RuleError, RuleSet};
use super::batch::{GET_CHAIN, GET_RULE, GET_TABLE, INET, header, kind, open, unreadable};
use super::compile::compile;
use super::expression::Expression;
use super::{ChainForm, Drift, TABLE, chain_name};
use crate::netlink::{Attributes, Message, Netlink};

/// A rule as the kernel has it. `steps` is `None` when it has a step that cannot be read.
struct Installed {
    chain: String,
    handle: u64,
    steps: Option<Vec<Expression>>,
}

/// Every difference between `rules` and our table.
pub(super) fn compare(rules: &RuleSet) -> Result<Vec<Drift>, RuleError> {
    let mut netlink = open()?;
    let Some(flags) = table(&mut netlink)? else {
        return Ok(vec![Drift::Missing(format!("table inet {TABLE}"))]);
    };
    let mut drifts = Vec::new();
    if flags != 0 {
        // Dormant: its chains are asleep.
        drifts.push(Drift::Altered(format!("table inet {TABLE} has flags {flags:#x}")));
    }
    let chains = chains(&mut netlink)?;
    let installed = installed(&mut netlink)?;
    for chain in &rules.chains {
        let wanted = ChainForm::of(chain);
        match chains.iter().find(|c| c.name == wanted.name) {
            None => drifts.push(Drift::Missing(format!("chain {}", wanted.name))),
            Some(found) if *found != wanted => drifts.push(Drift::Altered(format!("chain {}", wanted.name))),
            Some(_) => compare_rules(chain, &installed, &mut drifts),
        }
    }
    let known = |name: &str| rules.chains.iter().any(|chain| chain_name(chain) == name);
    drifts.extend(
        chains.iter().filter(|c| !known(&c.name)).map(|c| Drift::Unexpected(format!("chain {}", c.name))),
    );
    Ok(drifts)
}

/// Compares the rules of one chain as a bag first, so that each difference is named once, then their order.
fn compare_rules(chain: &Chain, installed: &[Installed], drifts: &mut Vec<Drift>) {
    let name = chain_name(chain);
    let here: Vec<&Installed> = installed.iter().filter(|rule| rule.chain == name).collect();
    let wanted: Vec<Vec<Expression>> = chain.rules.iter().map(compile).collect();
    if here.iter().map(|rule| rule.steps.as_ref()).eq(wanted.iter().map(Some)) {
        return;
    }
    let before = drifts.len();
    let mut left: Vec<&Installed> = here;
    for (rule, steps) in chain.rules.iter().zip(&wanted) {
        match left.iter().position(|found| found.steps.as_ref() == Some(steps)) {
            Some(position) => {
                left.remove(position);
            }
            None => drifts.push(Drift::Missing(format!("rule \"{}\" of chain {name}", rule.comment))),
        }
    }
    drifts.extend(
        left.iter()
            .map(|rule| Drift::Unexpected(format!("rule with handle {} of chain {name}", rule.handle))),
    );
    if drifts.len() == before {
        drifts.push(Drift::Altered(format!("the order of the rules of chain {name}")));
    }
}

/// Our table's flags; `None` when there is no such table.
fn table(netlink: &mut Netlink) -> Result<Option<u32>, RuleError> {
    let parse = |_, body: &[u8]| {
        let attributes = Attributes::new(body.get(4..)?);
        let ours = body.first() == Some(&INET) && attributes.text(1)? == TABLE;
        ours.then(|| attributes.network(2).unwrap_or(0))
    };
    let tables = dump(netlink, GET_TABLE, |_| {}, parse)?;
    Ok(tables.first().copied())
}

fn chains(netlink: &mut Netlink) -> Result<Vec<ChainForm>, RuleError> {
    dump(
        netlink,
        GET_CHAIN,
        |_| {},
        |_, body| {
            let attributes = ours(body)?;
            // A chain without a hook is entered by nothing we wrote; its hook 99 equals no wanted one.
            let hook = attributes.value(4).map(Attributes::new);
            Some(ChainForm {
                name: attributes.text(3)?,
                kind: attributes.text(7).unwrap_or_default(),
                hook: hook.and_then(|hook| hook.network(1)).unwrap_or(99),
                priority: hook.and_then(|hook| hook.network(2)).unwrap_or(0) as i32,
                policy: attributes.network(5).unwrap_or(99),
            })
        },
    )
}

fn installed(netlink: &mut Netlink) -> Result<Vec<Installed>, RuleError> {
    dump(
        netlink,
        GET_RULE,
        |m| m.text(1, TABLE),
        |_, body| {
            let attributes = ours(body)?;
            let steps = Attributes::new(attributes.value(4).unwrap_or_default())
                .map(|(_, step)| Expression::decode(step))
                .collect();
            let handle =
                attributes.value(3).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
            Some(Installed { chain: attributes.text(2)?, handle, steps })
        },
    )
}

/// The attributes of a chain or rule, when it is in our table.
fn ours(body: &[u8]) -> Option<Attributes<'_>> {
    let attributes = Attributes::new(body.get(4..)?);
    (body.first() == Some(&INET) && attributes.text(1)? == TABLE).then_some(attributes)
}

fn dump<T>(
    netlink: &mut Netlink,
    request: u16,
    fill: impl Fn(&mut Message),
    parse: impl Fn(u16, &[u8]) -> Option<T>,
) -> Result<Vec<T>, RuleError> {
    let fill = |message: &mut Message| {
        message.raw(&header(INET, 0));
        fill(message);
    };
    netlink.dump(kind(request), fill, parse).map_err(|failure| unreadable(&failure))
}
