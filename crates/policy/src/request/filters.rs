//! The filters of a rule or of one of its backends, ready for use.

use ambit_model::Text;
use ambit_model::l7::route::{Abort, Fault, Filter, Mirror, RateLimit};
use http::{HeaderMap, StatusCode};

use super::authority::Authority;
use super::cors::CorsPolicy;
use super::edit::HeaderEdits;
use super::expression::Patterns;
use super::head::Head;
use super::rewrite::PathChange;

/// Filters, in the order in which they are written.
#[derive(Debug, Default)]
pub struct Filters(Box<[Step]>);

#[derive(Debug)]
enum Step {
    Request(HeaderEdits),
    Response(HeaderEdits),
    Host(Authority),
    Path(PathChange),
    Mirror(Mirror),
    Cors(Box<CorsPolicy>),
    Fault(Fault),
    RateLimit(RateLimit),
}

impl Filters {
    /// Reads filters.
    ///
    /// # Errors
    /// The first of them that cannot be obeyed, in one line: the rule, or the backend, is answered 500.
    pub fn compile(filters: &[Filter], patterns: &mut Patterns) -> Result<Self, Text> {
        let mut steps = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                Filter::Request(change) => {
                    steps.push(Step::Request(HeaderEdits::compile(change).map_err(line)?))
                }
                Filter::Response(change) => {
                    steps.push(Step::Response(HeaderEdits::compile(change).map_err(line)?))
                }
                Filter::Rewrite(rewrite) => {
                    if let Some(host) = &rewrite.host {
                        let host =
                            Authority::parse(host).ok_or_else(|| line(format!("{host:?} is no host")))?;
                        steps.push(Step::Host(host));
                    }
                    if let Some(path) = &rewrite.path {
                        steps.push(Step::Path(PathChange::compile(path, patterns).map_err(line)?));
                    }
                }
                Filter::Mirror(Mirror { invalid: Some(why), .. }) => return Err(why.clone()),
                Filter::Mirror(mirror) => steps.push(Step::Mirror(mirror.clone())),
                Filter::Cors(cors) => {
                    let policy = CorsPolicy::compile(cors, patterns).map_err(line)?;
                    steps.push(Step::Cors(Box::new(policy)));
                }
                Filter::Fault(fault) => steps.push(Step::Fault(check_fault(fault)?.clone())),
                Filter::RateLimit(limit) => steps.push(Step::RateLimit(check_limit(limit)?.clone())),
            }
        }
        Ok(Self(steps.into()))
    }

    /// Changes the head of a request on its way to a backend.
    pub fn change_request(&self, head: &mut Head) {
        for step in &self.0 {
            match step {
                Step::Request(edits) => head.edit(edits),
                Step::Host(host) => head.authority = host.clone(),
                Step::Path(change) => head.change_path(change),
                _ => {}
            }
        }
    }

    /// Changes the headers of a response on its way to the client.
    pub fn change_response(&self, headers: &mut HeaderMap) {
        for step in &self.0 {
            if let Step::Response(edits) = step {
                edits.apply(headers);
            }
        }
    }

    /// The cross-origin policy.
    pub fn cors(&self) -> Option<&CorsPolicy> {
        self.0.iter().find_map(|step| match step {
            Step::Cors(policy) => Some(&**policy),
            _ => None,
        })
    }

    /// Where copies go.
    pub fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        self.0.iter().filter_map(|step| match step {
            Step::Mirror(mirror) => Some(mirror),
            _ => None,
        })
    }

    /// Faults on purpose.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter_map(|step| match step {
            Step::Fault(fault) => Some(fault),
            _ => None,
        })
    }

    /// Limits of the rate of requests.
    pub fn rate_limits(&self) -> impl Iterator<Item = &RateLimit> {
        self.0.iter().filter_map(|step| match step {
            Step::RateLimit(limit) => Some(limit),
            _ => None,
        })
    }
}

fn line(error: impl ToString) -> Text {
    error.to_string().into()
}

fn check_fault(fault: &Fault) -> Result<&Fault, Text> {
    let known = match fault.abort {
        Some((Abort::Http(status), _)) => {
            (200..600).contains(&status) && StatusCode::from_u16(status).is_ok()
        }
        Some((Abort::Grpc(status), _)) => status <= 16,
        None => true,
    };
    if known { Ok(fault) } else { Err(line("a fault aborts with a status that HTTP or gRPC does not have")) }
}

fn check_limit(limit: &RateLimit) -> Result<&RateLimit, Text> {
    if limit.interval.is_zero() { Err(line("a rate limit's interval is zero")) } else { Ok(limit) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ambit_model::l7::Share;
    use ambit_model::l7::route::{BackendRef, Cors, HeaderChange, PathRewrite, Rewrite};
    use ambit_model::service::ServiceKey;

    use super::*;
    use crate::request::sample::{get, headers};

    fn compile(filters: &[Filter]) -> Result<Filters, Text> {
        Filters::compile(filters, &mut Patterns::default())
    }

    fn set(name: &str, value: &str) -> HeaderChange {
        HeaderChange { set: vec![(name.into(), value.into())], ..HeaderChange::default() }
    }

    #[test]
    fn requests_change_in_order_and_stay_as_they_were_judged() {
        let rewrite =
            Rewrite { host: Some("Other.Shop".into()), path: Some(PathRewrite::Elements("/new".into())) };
        let filters = compile(&[
            Filter::Request(set("x", "1")),
            Filter::Rewrite(rewrite),
            Filter::Request(set("x", "2")),
            Filter::Response(set("y", "3")),
        ]);
        let filters = filters.unwrap();
        let request = get("/old/a?b=%20", &[]);
        let mut head = Head::new(&request, "/old".len());
        filters.change_request(&mut head);
        assert_eq!((head.authority.as_str(), &*head.target()), ("other.shop", "/new/a?b=%20"));
        assert_eq!(head.headers, headers(&[("x", "2")]));
        assert_eq!((request.path(), request.authority().as_str()), ("/old/a", "cart.shop"));
        let mut response = headers(&[("x", "0")]);
        filters.change_response(&mut response);
        assert_eq!(response, headers(&[("x", "0"), ("y", "3")]));
    }

    #[test]
    fn a_host_may_be_set_as_a_header() {
        let mut head = Head::new(&get("/", &[]), 0);
        compile(&[Filter::Request(set("host", "set.shop:81"))]).unwrap().change_request(&mut head);
        assert_eq!(head.authority.as_str(), "set.shop:81");
    }

    #[test]
    fn the_others_are_found_by_what_they_are() {
        let mirror = Mirror {
            to: BackendRef { service: ServiceKey::new("a", "b"), port: 80, subset: None },
            share: Share::ALL,
            invalid: None,
        };
        let limit = RateLimit { burst: 1, fill: 1, interval: Duration::from_secs(1), per_client: false };
        let filters = compile(&[
            Filter::Mirror(mirror.clone()),
            Filter::Cors(Cors::default()),
            Filter::Fault(Fault::default()),
            Filter::RateLimit(limit.clone()),
            Filter::Mirror(mirror.clone()),
        ]);
        let filters = filters.unwrap();
        assert!(filters.cors().is_some());
        assert_eq!(filters.mirrors().collect::<Vec<_>>(), [&mirror, &mirror]);
        assert_eq!(filters.faults().count(), 1);
        assert_eq!(filters.rate_limits().collect::<Vec<_>>(), [&limit]);
        let broken = Mirror { invalid: Some("no such service".into()), ..mirror };
        assert_eq!(compile(&[Filter::Mirror(broken)]).unwrap_err(), "no such service".into());
    }

    #[test]
    fn what_cannot_be_obeyed_is_told() {
        let abort = |abort| Filter::Fault(Fault { delay: None, abort: Some((abort, Share::ALL)) });
        let regex = PathRewrite::Regex { pattern: "(".into(), replacement: "".into() };
        for filter in [
            abort(Abort::Http(99)),
            abort(Abort::Http(600)),
            abort(Abort::Grpc(17)),
            Filter::Request(set("a b", "")),
            Filter::Response(set("content-length", "1")),
            Filter::Rewrite(Rewrite { host: Some("a b".into()), path: None }),
            Filter::Rewrite(Rewrite { host: None, path: Some(regex) }),
            Filter::RateLimit(RateLimit { burst: 1, fill: 1, interval: Duration::ZERO, per_client: false }),
        ] {
            assert!(compile(std::slice::from_ref(&filter)).is_err(), "{filter:?}");
        }
    }
}
