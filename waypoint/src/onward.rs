//! A request that goes on to a backend: as that will see it, and what is done to the response.

use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::route::{BackendRef, Mirror, Timeouts};
use ambit_policy::request::retry::RetryPolicy;
use ambit_policy::request::{
    Choice, CompiledRule, Head, Request as Canonical, strip_connection, told_status,
};
use ambit_telemetry::requests::RequestReport;
use http::Response;
use http::header::HeaderValue;
use hyper::body::Incoming;

use crate::affinity::Affinity;
use crate::body::{ResponseBody, head_size};
use crate::network::Network;
use crate::session::Session;
use crate::upstream::Lease;

/// A request that goes on.
#[derive(Debug)]
pub struct Onward {
    /// Host, path and headers as the backend will see them.
    pub head: Head,
    /// `None`: what the client asked for.
    pub backend: Option<BackendRef>,
    rule: Option<(Arc<CompiledRule>, usize)>,
    /// The origin that may read the response.
    origin: Option<HeaderValue>,
}

/// A response whose body is still to come.
#[derive(Debug)]
pub struct Answered {
    /// Its head.
    pub response: Response<Incoming>,
    /// The connection that it comes on.
    pub lease: Lease,
    /// How its request went on.
    pub onward: Onward,
    /// What it has to do with its endpoint.
    pub affinity: Affinity,
    /// The endpoint.
    pub endpoint: Text,
    /// When it must have ended.
    pub deadline: Option<tokio::time::Instant>,
}

impl Onward {
    /// To what the client asked for, as it is.
    pub fn to_itself(request: &Canonical) -> Self {
        Self { head: Head::new(request, 0), backend: None, rule: None, origin: None }
    }

    /// To the rule's backend of this number.
    pub fn by_rule(
        head: Head,
        rule: Arc<CompiledRule>,
        number: usize,
        backend: BackendRef,
        origin: Option<HeaderValue>,
    ) -> Self {
        Self { head, backend: Some(backend), rule: Some((rule, number)), origin }
    }

    /// The rule by which it goes.
    pub fn rule(&self) -> Option<&CompiledRule> {
        self.rule.as_ref().map(|(rule, _)| &**rule)
    }

    /// Where copies of it go: by the rule, then by its backend.
    pub fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        let rule = self.rule.as_ref();
        let of_backend = rule.and_then(|(rule, number)| match rule.backend(*number) {
            Choice::Backend { filters, .. } => Some(filters),
            Choice::Invalid(_) | Choice::Nowhere => None,
        });
        let of_rule = rule.map(|(rule, _)| rule.filters());
        of_rule.into_iter().chain(of_backend).flat_map(|filters| filters.mirrors())
    }

    /// How long it may take.
    pub fn timeouts(&self) -> Timeouts {
        self.rule.as_ref().map_or_else(Timeouts::default, |(rule, _)| rule.rule().timeouts)
    }

    /// How often it is tried.
    pub fn retries<N: Network>(&self, session: &Session<N>) -> RetryPolicy {
        let own = self.rule.as_ref().and_then(|(rule, _)| rule.rule().retry.as_ref());
        match own {
            Some(retry) => RetryPolicy::of_rule(retry),
            None => RetryPolicy::of_mesh(session.proxy.rules.mesh().retry.as_ref()),
        }
    }
}

impl Answered {
    /// The endpoint's response on its way to the client.
    pub fn respond(self, mut report: RequestReport, grpc: bool) -> Response<ResponseBody> {
        let Self { response, lease, onward, affinity, endpoint, deadline } = self;
        let (mut head, body) = response.into_parts();
        strip_connection(&mut head.headers, false);
        head.headers.remove(http::header::TE);
        if let Some((rule, number)) = &onward.rule {
            if let Choice::Backend { filters, .. } = rule.backend(*number) {
                filters.change_response(&mut head.headers);
            }
            rule.filters().change_response(&mut head.headers);
            if let (Some(cors), Some(origin)) = (rule.filters().cors(), &onward.origin) {
                cors.decorate(origin, &mut head.headers);
            }
        }
        affinity.decorate(onward.rule(), &endpoint, &mut head.headers);
        head.version = http::Version::HTTP_11;
        head.extensions.clear();
        report.code(head.status.as_u16()).details("via_upstream");
        if grpc && let Some(status) = told_status(&head.headers) {
            report.grpc_status(status);
        }
        report.bytes().response(head_size(&head.headers));
        Response::from_parts(head, ResponseBody::endpoint(body, lease, report, grpc, deadline))
    }
}
