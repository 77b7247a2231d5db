//! What the client holds and says: messages in, messages out, no I/O and no clock.
//!
//! A resource is *held* once it was applied. Held resources are named to the server when a stream opens, each with the
//! version that is in force, because the server tells what is gone only for names it was told. A rejected workload or
//! service leaves the held version as it was; if there is none, its claim on its addresses is held, and it and a policy that was applied narrowed are held with a version that no server
//! gives, so that they are sent again and their removal is noticed.

mod version;

use std::collections::{HashMap, HashSet};

use ambit_model::policy::Scope;
use ambit_model::{Change, Policy, Text, Unreadable};
use ambit_proto::envoy::discovery::DeltaDiscoveryRequest as Request;
use ambit_proto::google::rpc;
use foldhash::fast::RandomState;
use prost::Message;
use tonic::{Code, Status};

use super::Update;
use crate::discovery::{KNOWS_MORE, Resource, Response};
use crate::wire::{Texts, decode_address, decode_claims, decode_l7, decode_policy, unusable_policy};
use crate::{Kind, Node, Rejection};
use version::Version;

/// Version of a policy that was applied narrowed, and of a workload or service of which only the claim is held.
const NARROWED: &str = "rejected";

/// Longest request that is sent to a server that is not known to take longer ones: gRPC's usual limit is 4 MiB, and a
/// stream opened beyond it would fail for ever.
const SHORT_REQUEST: usize = 7 << 19;

/// Longest request for our own server.
const LONG_REQUEST: usize = 48 << 20;

/// Longest error text that is sent.
const MAX_ERROR: usize = 16 << 10;

/// What one response came to.
pub(super) struct Step {
    /// `None` for a type that was not asked for.
    pub(super) kind: Option<Kind>,
    /// Bytes of its resources.
    pub(super) bytes: usize,
    pub(super) update: Option<Update>,
    pub(super) rejections: Vec<Rejection>,
    /// The acceptance or rejection, to be sent once the update is in force.
    pub(super) reply: Request,
}

pub(super) struct Session {
    node: Node,
    subscriptions: Vec<Subscription>,
    texts: Texts,
    longest_request: usize,
}

struct Subscription {
    kind: Kind,
    held: HashMap<Text, Version, RandomState>,
    /// Scopes of the policies that are held: one that becomes unreadable must not shrink.
    scopes: HashMap<Text, Scope, RandomState>,
    /// The first state on this connection is complete.
    complete: bool,
    /// It was complete on some connection.
    ever_complete: bool,
    /// Set while the first state is read by a server that was not told what is held: the names it mentioned. What it
    /// did not mention is gone.
    mentioned: Option<HashSet<Text, RandomState>>,
}

impl Session {
    pub(super) fn new(mut node: Node, kinds: &[Kind]) -> Self {
        node.metadata.insert(KNOWS_MORE.into(), "true".into());
        let subscription = |kind: &Kind| Subscription {
            kind: *kind,
            held: HashMap::default(),
            scopes: HashMap::default(),
            complete: false,
            ever_complete: false,
            mentioned: None,
        };
        Self {
            node,
            subscriptions: kinds.iter().map(subscription).collect(),
            texts: Texts::default(),
            longest_request: SHORT_REQUEST,
        }
    }

    /// Whether the first state of every kind was complete at some time.
    pub(super) fn synced(&self) -> bool {
        self.subscriptions.iter().all(|subscription| subscription.ever_complete)
    }

    /// The first requests of a new stream.
    pub(super) fn open(&mut self) -> Vec<Request> {
        let mut node = Some(self.node.to_proto());
        let longest = self.longest_request;
        self.subscriptions.iter_mut().map(|subscription| subscription.open(node.take(), longest)).collect()
    }

    /// The stream ended. A server that found a request too long is asked with short ones from now on.
    pub(super) fn closed(&mut self, status: Option<&Status>) {
        let code = status.map(Status::code);
        if matches!(code, Some(Code::ResourceExhausted | Code::OutOfRange)) {
            self.longest_request = SHORT_REQUEST;
        }
    }

    /// One response.
    pub(super) fn receive(&mut self, response: Response) -> Step {
        if response.is_ours() {
            self.longest_request = LONG_REQUEST;
        }
        let mut reply = Request {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Request::default()
        };
        let kind = Kind::from_type_url(&response.type_url);
        let subscription = self.subscriptions.iter_mut().find(|subscription| Some(subscription.kind) == kind);
        let Some(subscription) = subscription else {
            reply.error_detail = Some(refusal(format!("type {} was not asked for", response.type_url)));
            return Step { kind: None, bytes: 0, update: None, rejections: Vec::new(), reply };
        };
        let bytes = response.resources.iter().map(bytes::Bytes::len).sum();
        let (update, rejections) = subscription.receive(response, &mut self.texts);
        reply.error_detail = report(&rejections).map(refusal);
        let update = (update.initial || !update.changes.is_empty()).then_some(update);
        Step { kind: Some(subscription.kind), bytes, update, rejections, reply }
    }
}

impl Subscription {
    fn open(&mut self, node: Option<ambit_proto::envoy::core::Node>, longest: usize) -> Request {
        self.complete = false;
        let length: usize = self.held.iter().map(|(name, version)| name.len() + version.length() + 12).sum();
        let told = length <= longest;
        self.mentioned = (!told).then(HashSet::default);
        let versions = self.held.iter().filter(|_| told);
        Request {
            node,
            type_url: self.kind.type_url().into(),
            initial_resource_versions: versions
                .map(|(name, version)| (name.to_string(), version.to_string()))
                .collect(),
            ..Request::default()
        }
    }

    fn receive(&mut self, response: Response, texts: &mut Texts) -> (Update, Vec<Rejection>) {
        let partial = response.partial();
        let mut changes = Vec::with_capacity(response.resources.len() + response.removed_resources.len());
        let mut rejections = Vec::new();
        // A name that is both removed and set is there.
        for name in response.removed_resources {
            self.remove(name.into(), &mut changes);
        }
        for (at, bytes) in response.resources.into_iter().enumerate() {
            match Resource::decode(bytes) {
                Ok(resource) if !resource.name.is_empty() => {
                    self.set(resource, texts, &mut changes, &mut rejections);
                }
                _ => rejections.push(Rejection {
                    name: format!("resource {at} of the response").into(),
                    reason: "it has no readable name".into(),
                }),
            }
        }
        let initial = !self.complete && !partial;
        if initial {
            self.complete = true;
            self.ever_complete = true;
            self.forget_unmentioned(&mut changes);
        }
        (Update { kind: self.kind, changes, initial }, rejections)
    }

    fn set(
        &mut self,
        resource: Resource,
        texts: &mut Texts,
        changes: &mut Vec<Change>,
        rejections: &mut Vec<Rejection>,
    ) {
        let name: Text = resource.name.into();
        if let Some(mentioned) = &mut self.mentioned {
            mentioned.insert(name.clone());
        }
        let payload = match resource.resource {
            Some(any) if any.type_url == self.kind.type_url() => Ok(any.value),
            Some(any) => Err(format!("its type is {}", any.type_url)),
            None => Err("it has no content".to_owned()),
        };
        let (change, rejection) = match self.kind {
            Kind::Address => read_address(payload, &name, texts),
            Kind::Authorization => {
                let (policy, rejection) = read_policy(payload, &name, self.scopes.get(&name).copied(), texts);
                self.scopes.insert(name.clone(), policy.scope);
                (Some(Change::Policy(Box::new(policy))), rejection)
            }
            Kind::L7 => {
                let (change, rejection) = decode_l7(payload, &name);
                (Some(change), rejection)
            }
        };
        if let Some(change) = change {
            // An older version of a workload or service stays in force beside the claim of the newer one.
            let older = self.kind == Kind::Address && rejection.is_some() && self.held.contains_key(&name);
            if !older {
                let version = if rejection.is_some() { NARROWED } else { &*resource.version };
                self.held.insert(name, Version::new(version));
            }
            changes.push(change);
        }
        rejections.extend(rejection);
    }

    fn remove(&mut self, name: Text, changes: &mut Vec<Change>) {
        self.held.remove(&name);
        self.scopes.remove(&name);
        changes.push(match self.kind {
            Kind::Address => Change::RemoveAddress(name),
            Kind::Authorization => Change::RemovePolicy(name),
            Kind::L7 => Change::RemoveL7(name),
        });
    }

    fn forget_unmentioned(&mut self, changes: &mut Vec<Change>) {
        let Some(mentioned) = self.mentioned.take() else { return };
        let gone: Vec<Text> = self.held.keys().filter(|name| !mentioned.contains(*name)).cloned().collect();
        for name in gone {
            self.remove(name, changes);
        }
    }
}

fn read_address(
    payload: Result<bytes::Bytes, String>,
    name: &Text,
    texts: &mut Texts,
) -> (Option<Change>, Option<Rejection>) {
    let bytes = match payload {
        Ok(bytes) => bytes,
        Err(reason) => return (None, Some(Rejection { name: name.clone(), reason: reason.into() })),
    };
    match decode_address(&bytes, name, texts) {
        Ok(change) => (Some(change), None),
        Err(rejection) => {
            let claim = decode_claims(&bytes, texts).map(|addresses| {
                let (key, reason) = (name.clone(), rejection.reason.clone());
                Change::Unreadable(Box::new(Unreadable { key, addresses, reason }))
            });
            (claim, Some(rejection))
        }
    }
}

fn read_policy(
    payload: Result<bytes::Bytes, String>,
    name: &Text,
    held: Option<Scope>,
    texts: &mut Texts,
) -> (Policy, Option<Rejection>) {
    match payload {
        Ok(bytes) => decode_policy(&bytes, name, held, texts),
        Err(reason) => {
            let policy = unusable_policy(name, &reason, held, texts);
            (policy, Some(Rejection { name: name.clone(), reason: reason.into() }))
        }
    }
}

/// `name: reason; name: reason`, as many as fit.
fn report(rejections: &[Rejection]) -> Option<String> {
    let (first, rest) = rejections.split_first()?;
    let mut text = first.to_string();
    text.truncate(text.floor_char_boundary(MAX_ERROR));
    for (at, rejection) in rest.iter().enumerate() {
        let next = rejection.to_string();
        if text.len() + next.len() > MAX_ERROR {
            text.push_str(&format!("; and {} more", rest.len() - at));
            break;
        }
        text.push_str("; ");
        text.push_str(&next);
    }
    Some(text)
}

fn refusal(message: String) -> rpc::Status {
    rpc::Status { code: Code::InvalidArgument.into(), message, details: Vec::new() }
}

#[cfg(test)]
mod tests;
