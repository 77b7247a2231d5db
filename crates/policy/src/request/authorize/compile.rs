//! A rule as it is written becomes one that can be evaluated.

use ambit_model::Text;
use ambit_model::identity::DEFAULT_TRUST_DOMAIN;
use ambit_model::l7::MeshConfig;
use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{self, Attribute, PolicyRule};
use ambit_model::policy::ServiceAccount;
use ipnet::IpNet;

use super::condition::Condition;
use super::matching::{Operation, Rule, Source};
use super::pattern::{self, Namespace, Pattern, RequestPrincipal};
use super::template::Path;
use crate::request::fields::Field;

impl Rule {
    /// What cannot be read makes the whole rule so.
    pub(super) fn compile(rule: &PolicyRule, mesh: &MeshConfig) -> Self {
        if rule.undecodable.is_some() {
            return Self::Unreadable;
        }
        readable(rule, mesh).unwrap_or(Self::Unreadable)
    }
}

/// A rule that is looked at before the token is: what it asks about the token is taken to hold, so that the external
/// service is asked rather than passed by.
pub(super) fn without_token(rule: &PolicyRule) -> PolicyRule {
    let mut rule = rule.clone();
    for source in &mut rule.from {
        source.request_principals = Values::default();
    }
    for condition in &mut rule.when {
        use Attribute::{Audiences, Claim, Presenter, RequestPrincipal};
        if matches!(condition.key, RequestPrincipal | Audiences | Presenter | Claim(_)) {
            // One that asks nothing holds wherever doubt does.
            condition.values = Values::default();
        }
    }
    rule
}

fn readable(rule: &PolicyRule, mesh: &MeshConfig) -> Result<Rule, Text> {
    Ok(Rule::Readable {
        from: rule.from.iter().map(|each| source(each, mesh)).collect::<Result<_, _>>()?,
        to: rule.to.iter().map(operation).collect::<Result<_, _>>()?,
        when: rule.when.iter().map(|each| condition(each, mesh)).collect::<Result<_, _>>()?,
    })
}

fn source(source: &policy::Source, mesh: &MeshConfig) -> Result<Source, Text> {
    Ok(Source {
        principals: principals(&source.principals, mesh),
        request_principals: each(&source.request_principals, |text| RequestPrincipal::new(text)),
        namespaces: each(&source.namespaces, |text| Namespace::new(text)),
        service_accounts: fallible(&source.service_accounts, |text| account(text))?,
        trust_domains: many(&source.trust_domains, |text| trust_domains(text, mesh)),
        ip_blocks: source.ip_blocks.clone(),
        remote_ip_blocks: source.remote_ip_blocks.clone(),
    })
}

fn operation(operation: &policy::Operation) -> Result<Operation, Text> {
    Ok(Operation {
        hosts: each(&operation.hosts, |text| Pattern::of_header(&text.to_ascii_lowercase())),
        ports: operation.ports.clone(),
        methods: each(&operation.methods, |text| Pattern::of_header(text)),
        paths: fallible(&operation.paths, |text| Path::new(text))?,
    })
}

fn condition(condition: &policy::Condition, mesh: &MeshConfig) -> Result<Condition, Text> {
    let values = &condition.values;
    if values.is_empty() {
        return Ok(Condition::Nothing);
    }
    let plain = || each(values, |text| Pattern::new(text));
    let claim = |name: &str| Condition::Claim(vec![name.into()], plain());
    Ok(match &condition.key {
        Attribute::Header(name) => {
            let field = Field::parse(name).map_err(|invalid| Text::from(invalid.to_string()))?;
            Condition::Header(field, each(values, |text| Pattern::of_header(text)))
        }
        Attribute::SourceIp => Condition::SourceIp(blocks(values)?),
        Attribute::RemoteIp => Condition::RemoteIp(blocks(values)?),
        Attribute::DestinationIp => Condition::DestinationIp(blocks(values)?),
        Attribute::DestinationPort => Condition::DestinationPort(fallible(values, |text| {
            text.parse().map_err(|_| format!("{text:?} is no port").into())
        })?),
        Attribute::SourceNamespace => Condition::SourceNamespace(each(values, |text| Namespace::new(text))),
        Attribute::SourcePrincipal => Condition::SourcePrincipal(principals(values, mesh)),
        Attribute::SourceServiceAccount => {
            Condition::SourceServiceAccount(fallible(values, |text| account(text))?)
        }
        Attribute::SourceTrustDomain => {
            Condition::SourceTrustDomain(many(values, |text| trust_domains(text, mesh)))
        }
        Attribute::RequestPrincipal => {
            Condition::RequestPrincipal(each(values, |text| RequestPrincipal::new(text)))
        }
        Attribute::Audiences => claim("aud"),
        Attribute::Presenter => claim("azp"),
        Attribute::Claim(path) => Condition::Claim(path.clone(), plain()),
        Attribute::ServerName => Condition::ServerName(plain()),
    })
}

fn many<T, U>(values: &Values<T>, convert: impl Fn(&T) -> Vec<U>) -> Values<U> {
    Values {
        any: values.any.iter().flat_map(&convert).collect(),
        none: values.none.iter().flat_map(&convert).collect(),
    }
}

fn each<T, U>(values: &Values<T>, convert: impl Fn(&T) -> U) -> Values<U> {
    many(values, |value| vec![convert(value)])
}

fn fallible<T, U>(values: &Values<T>, convert: impl Fn(&T) -> Result<U, Text>) -> Result<Values<U>, Text> {
    Ok(Values {
        any: values.any.iter().map(&convert).collect::<Result<_, _>>()?,
        none: values.none.iter().map(&convert).collect::<Result<_, _>>()?,
    })
}

fn blocks(values: &Values<Text>) -> Result<Values<IpNet>, Text> {
    fallible(values, |text| {
        let block = text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(std::net::IpAddr::into));
        block.ok_or_else(|| format!("{text:?} is no address or block of addresses").into())
    })
}

fn account(text: &str) -> Result<ServiceAccount, Text> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(ServiceAccount { namespace: namespace.into(), name: name.into() })
        }
        _ => Err(format!("{text:?} is no service account; it must be NAMESPACE/NAME").into()),
    }
}

/// The names of the mesh's trust domain.
fn domains(mesh: &MeshConfig) -> impl Iterator<Item = &Text> {
    std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases)
}

/// One name of the mesh's trust domain stands for all of them.
fn trust_domains(text: &str, mesh: &MeshConfig) -> Vec<Pattern> {
    if domains(mesh).any(|domain| **domain == *text) {
        domains(mesh).map(|domain| Pattern::Exact(domain.clone())).collect()
    } else {
        vec![Pattern::new(text)]
    }
}

/// Principals of the mesh's trust domain, by whatever name (`cluster.local` is one in any mesh), are principals of all
/// its names. Other patterns stay as they are.
fn principals(values: &Values<Text>, mesh: &MeshConfig) -> Values<ambit_model::policy::StringMatch> {
    many(values, |text| {
        let (domain, rest) = match text.split_once('/') {
            Some((domain, rest)) if rest.split('/').count() == 4 && domain != "*" => (domain, rest),
            _ => return vec![pattern::principal(text)],
        };
        let covers = |known: &Text| Pattern::new(domain).holds(known.as_bytes());
        if domain != DEFAULT_TRUST_DOMAIN && !domains(mesh).any(covers) {
            return vec![pattern::principal(text)];
        }
        let names = domains(mesh).map(|known| if covers(known) { domain } else { known });
        names.map(|name| pattern::principal(&format!("{name}/{rest}"))).collect()
    })
}
