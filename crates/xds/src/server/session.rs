//! One client's stream: what it was sent and what it is to be sent next, without any I/O.
//!
//! Of each kind one response is under way at a time. Until it is answered, changes only accumulate in the store, so a
//! slow client is sent the last state of what changed many times, once.

mod batch;
mod everything;
mod named;

use std::sync::Arc;

use ambit_proto::envoy::core::ControlPlane;
use ambit_proto::envoy::discovery::DeltaDiscoveryRequest as Request;
use tonic::Status;

use super::service::Lookup;
use super::{ClientView, Store};
use crate::Kind;
use crate::discovery::{IDENTIFIER, KNOWS_MORE, MORE, Response};
use crate::node::Node;
use batch::Batch;
use everything::Everything;
use named::Named;

/// Longest response: gRPC's usual limit of 4 MiB, less the response's own fields.
const LONGEST: usize = (4 << 20) - (64 << 10);

/// Longest first response for a client that counts as synchronised after it: what Istio's node proxy reads, less some.
const LONGEST_WHOLE: usize = 190 << 20;

/// What a request told, for the observer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A response was rejected, in part at least.
    Rejected(Kind, String),
    /// A type that is not served was asked for; it is never answered.
    Unserved(String),
}

pub(super) struct Session {
    view: ClientView,
    lookup: Arc<dyn Lookup>,
    knows_more: bool,
    subscriptions: [Option<Subscription>; Kind::ALL.len()],
}

impl Session {
    pub(super) fn new(view: ClientView, node: &Node, lookup: Arc<dyn Lookup>) -> Self {
        let knows_more = node.text(KNOWS_MORE) == Some("true");
        Self { view, lookup, knows_more, subscriptions: Default::default() }
    }

    pub(super) fn view(&self) -> &ClientView {
        &self.view
    }

    /// Takes in one request.
    pub(super) fn request(&mut self, store: &Store, request: Request) -> Option<Event> {
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return Some(Event::Unserved(request.type_url));
        };
        match &mut self.subscriptions[kind.index()] {
            Some(subscription) => subscription.request(store, kind, &self.view, request),
            empty => {
                *empty = Some(Subscription::open(store, kind, &self.view, request));
                None
            }
        }
    }

    /// The next response, if there is anything to say and the client can be told.
    pub(super) fn next(&mut self, store: &Store) -> Result<Option<(Kind, Response)>, Status> {
        for kind in Kind::ALL {
            let Some(subscription) = &mut self.subscriptions[kind.index()] else { continue };
            let longest = if subscription.opening && !self.knows_more { LONGEST_WHOLE } else { LONGEST };
            if let Some(response) = subscription.next(store, kind, &self.view, &*self.lookup, longest)? {
                return Ok(Some((kind, response)));
            }
        }
        Ok(None)
    }
}

/// What a client asked of one kind.
struct Subscription {
    wanted: Wanted,
    nonce: u64,
    /// The last response was not answered yet.
    under_way: bool,
    /// The first state is not complete yet. It is answered even when there is nothing to send.
    opening: bool,
}

enum Wanted {
    Everything(Everything),
    Named(Named),
}

impl Subscription {
    /// The first request of a kind. As for Istio's control plane: nothing named, or `*`, is everything; `*` both
    /// subscribed and unsubscribed is nothing yet.
    fn open(store: &Store, kind: Kind, view: &ClientView, request: Request) -> Self {
        let all = |names: &[String]| names.iter().any(|name| name == "*");
        let subscribe = &request.resource_names_subscribe;
        let everything = subscribe.is_empty() || all(subscribe) && !all(&request.resource_names_unsubscribe);
        let versions = &request.initial_resource_versions;
        let wanted = if everything {
            Wanted::Everything(Everything::open(store, kind, view, versions))
        } else {
            let mut named = Named::open(store, kind, versions);
            named.subscribe(subscribe);
            named.unsubscribe(&request.resource_names_unsubscribe);
            Wanted::Named(named)
        };
        Self { wanted, nonce: 0, under_way: false, opening: true }
    }

    fn request(&mut self, store: &Store, kind: Kind, view: &ClientView, request: Request) -> Option<Event> {
        self.change(store, kind, view, &request);
        // The answer to an older response says nothing about the last one.
        if !self.under_way || request.response_nonce != self.nonce.to_string() {
            return None;
        }
        self.under_way = false;
        request.error_detail.map(|status| Event::Rejected(kind, status.message))
    }

    fn change(&mut self, store: &Store, kind: Kind, view: &ClientView, request: &Request) {
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let all = |names: &[String]| names.iter().any(|name| name == "*");
        match &mut self.wanted {
            Wanted::Everything(_) if all(unsubscribe) => {
                let mut named = Named::default();
                named.subscribe(subscribe);
                self.wanted = Wanted::Named(named);
            }
            Wanted::Everything(_) => {}
            Wanted::Named(_) if all(subscribe) => {
                self.wanted = Wanted::Everything(Everything::open(store, kind, view, &Default::default()));
            }
            Wanted::Named(named) => {
                named.subscribe(subscribe);
                named.unsubscribe(unsubscribe);
            }
        }
    }

    fn next(
        &mut self,
        store: &Store,
        kind: Kind,
        view: &ClientView,
        lookup: &dyn Lookup,
        longest: usize,
    ) -> Result<Option<Response>, Status> {
        if self.under_way {
            return Ok(None);
        }
        let mut batch = Batch::new(longest);
        let more = match &mut self.wanted {
            Wanted::Everything(everything) => everything.fill(&mut batch, store, kind, view)?,
            Wanted::Named(named) => named.fill(&mut batch, store, kind, view, lookup),
        };
        if batch.is_empty() && !self.opening {
            return Ok(None);
        }
        let partial = self.opening && more;
        self.opening = partial;
        self.under_way = true;
        self.nonce += 1;
        let (resources, removed_resources) = batch.into_parts();
        Ok(Some(Response {
            system_version_info: if partial { MORE.into() } else { String::new() },
            resources,
            type_url: kind.type_url().into(),
            nonce: self.nonce.to_string(),
            removed_resources,
            control_plane: Some(ControlPlane { identifier: IDENTIFIER.into() }),
        }))
    }
}

#[cfg(test)]
mod tests;
