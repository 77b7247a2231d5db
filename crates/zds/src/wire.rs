//! What the messages are in bytes, and which bytes and descriptors are refused.

use ambit_proto::istio::zds::{
    Ack, AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, Version, WorkloadInfo, WorkloadRequest,
    WorkloadResponse, ZdsHello, workload_request, workload_response,
};
use prost::Message;

use crate::client::Event;
use crate::identity::WorkloadIdentity;

/// The longest datagram a proxy reads, in bytes.
pub(crate) const MAX_REQUEST: usize = 1024;

/// The longest datagram an agent reads, in bytes: room for another implementation's long error text.
pub(crate) const MAX_RESPONSE: usize = 8192;

/// The longest error text we send, in bytes: with its framing it stays within what Istio's agent reads, 1024 bytes.
const MAX_ERROR: usize = 1000;

/// A datagram as it was received.
#[derive(Debug)]
pub(crate) struct Datagram<N> {
    /// The bytes, or the first of them.
    pub(crate) bytes: Vec<u8>,
    /// The descriptors that came along, owned.
    pub(crate) descriptors: Vec<N>,
    /// There were more bytes or more descriptors than we take.
    pub(crate) truncated: bool,
}

/// How the peer broke the protocol. The connection is closed; nothing of the message was used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The datagram is too long, or has too many descriptors.
    #[error(
        "the message is longer than {MAX_REQUEST} bytes or carries too many descriptors; check the versions of agent and ztunnel"
    )]
    Truncated,
    /// The bytes are not the message that was due.
    #[error("the message does not decode ({0}); check the versions of agent and ztunnel")]
    Undecodable(String),
    /// The message is of a kind unknown here.
    #[error("the message has no content known here; check the versions of agent and ztunnel")]
    Empty,
    /// The proxy speaks another version.
    #[error(
        "the hello says version {0}, only version 1 is spoken here; match the versions of agent and ztunnel"
    )]
    Version(i32),
    /// A message names no pod.
    #[error("the message names no pod; the peer must send the pod's uid")]
    UidMissing,
    /// An add does not say which workload the pod is.
    #[error(
        "the add of pod {0:?} has no workload info; the agent must send name, namespace and service account"
    )]
    IdentityMissing(String),
    /// An add came without descriptor.
    #[error("the add of pod {0:?} carries no network namespace; the agent must pass exactly one descriptor")]
    NamespaceMissing(String),
    /// Descriptors where none, or only one, is due.
    #[error("the message carries {0} descriptors; only an add carries any, and exactly one")]
    DescriptorUnexpected(usize),
    /// A keep after the snapshot.
    #[error("a keep of pod {0:?} after the snapshot was sent; the agent must send it before, or not at all")]
    KeepAfterSnapshot(String),
    /// The snapshot ended twice.
    #[error("the snapshot was sent already; the agent must end it once in a connection")]
    SnapshotTwice,
    /// A response that answers nothing.
    #[error("a response while none was due; the proxy must answer each request once")]
    Unasked,
}

/// The proxy's first message.
pub(crate) fn hello() -> Vec<u8> {
    ZdsHello { version: Version::V1.into() }.encode_to_vec()
}

/// Checks the proxy's first message.
pub(crate) fn read_hello<N>(datagram: &Datagram<N>) -> Result<(), Violation> {
    let hello: ZdsHello = without_descriptors(datagram)?;
    if hello.version == i32::from(Version::V1) { Ok(()) } else { Err(Violation::Version(hello.version)) }
}

/// An add; the descriptor travels beside it.
pub(crate) fn add(uid: &str, identity: &WorkloadIdentity) -> Vec<u8> {
    request(workload_request::Payload::Add(AddWorkload {
        uid: uid.to_owned(),
        workload_info: Some(WorkloadInfo {
            name: identity.name.clone(),
            namespace: identity.namespace.clone(),
            service_account: identity.service_account.clone(),
        }),
    }))
}

/// A keep.
pub(crate) fn keep(uid: &str) -> Vec<u8> {
    request(workload_request::Payload::Keep(KeepWorkload { uid: uid.to_owned() }))
}

/// A removal.
pub(crate) fn remove(uid: &str) -> Vec<u8> {
    request(workload_request::Payload::Del(DelWorkload { uid: uid.to_owned() }))
}

/// The end of the snapshot.
pub(crate) fn snapshot_sent() -> Vec<u8> {
    request(workload_request::Payload::SnapshotSent(SnapshotSent {}))
}

fn request(payload: workload_request::Payload) -> Vec<u8> {
    WorkloadRequest { payload: Some(payload) }.encode_to_vec()
}

/// Reads what the agent asks. A snapshot's end names no stale pods yet.
pub(crate) fn read_request<N>(datagram: Datagram<N>) -> Result<Event<N>, Violation> {
    if datagram.truncated {
        return Err(Violation::Truncated);
    }
    let mut descriptors = datagram.descriptors;
    let payload = decode::<WorkloadRequest>(&datagram.bytes)?.payload.ok_or(Violation::Empty)?;
    if let workload_request::Payload::Add(add) = payload {
        let (Some(netns), count) = (descriptors.pop(), descriptors.len()) else {
            return Err(Violation::NamespaceMissing(add.uid));
        };
        if count > 0 {
            return Err(Violation::DescriptorUnexpected(count + 1));
        }
        return read_add(add, netns);
    }
    if !descriptors.is_empty() {
        return Err(Violation::DescriptorUnexpected(descriptors.len()));
    }
    match payload {
        workload_request::Payload::Keep(keep) => Ok(Event::Keep { uid: named(keep.uid)? }),
        workload_request::Payload::Del(del) => Ok(Event::Remove { uid: named(del.uid)? }),
        workload_request::Payload::SnapshotSent(_) => Ok(Event::SnapshotSent { stale: Vec::new() }),
        workload_request::Payload::Add(add) => Err(Violation::NamespaceMissing(add.uid)),
    }
}

fn read_add<N>(add: AddWorkload, netns: N) -> Result<Event<N>, Violation> {
    let uid = named(add.uid)?;
    let Some(workload) = add.workload_info else { return Err(Violation::IdentityMissing(uid)) };
    let WorkloadInfo { name, namespace, service_account } = workload;
    if name.is_empty() || namespace.is_empty() || service_account.is_empty() {
        return Err(Violation::IdentityMissing(uid));
    }
    Ok(Event::Add { uid, identity: WorkloadIdentity { name, namespace, service_account }, netns })
}

fn named(uid: String) -> Result<String, Violation> {
    if uid.is_empty() { Err(Violation::UidMissing) } else { Ok(uid) }
}

/// A response. An error without text would read as success, so it is given one.
pub(crate) fn response(outcome: Result<(), &str>) -> Vec<u8> {
    let error = match outcome {
        Ok(()) => "",
        Err("") => "failed without saying why",
        Err(text) => text.get(..text.floor_char_boundary(MAX_ERROR)).unwrap_or(text),
    };
    let ack = Ack { error: error.to_owned() };
    WorkloadResponse { payload: Some(workload_response::Payload::Ack(ack)) }.encode_to_vec()
}

/// Reads a proxy's response: what it could not do, if anything.
pub(crate) fn read_response<N>(datagram: &Datagram<N>) -> Result<Result<(), String>, Violation> {
    let response: WorkloadResponse = without_descriptors(datagram)?;
    match response.payload {
        Some(workload_response::Payload::Ack(Ack { error })) if error.is_empty() => Ok(Ok(())),
        Some(workload_response::Payload::Ack(Ack { error })) => Ok(Err(error)),
        None => Err(Violation::Empty),
    }
}

fn without_descriptors<M: Message + Default, N>(datagram: &Datagram<N>) -> Result<M, Violation> {
    if datagram.truncated {
        return Err(Violation::Truncated);
    }
    if !datagram.descriptors.is_empty() {
        return Err(Violation::DescriptorUnexpected(datagram.descriptors.len()));
    }
    decode(&datagram.bytes)
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Violation> {
    M::decode(bytes).map_err(|error| Violation::Undecodable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(bytes: Vec<u8>, descriptors: Vec<u32>) -> Datagram<u32> {
        Datagram { bytes, descriptors, truncated: false }
    }

    fn identity() -> WorkloadIdentity {
        WorkloadIdentity { name: "web-1".into(), namespace: "shop".into(), service_account: "web".into() }
    }

    #[test]
    fn hello_is_two_bytes() {
        assert_eq!(hello(), [0x08, 0x01]);
        assert_eq!(read_hello(&datagram(hello(), vec![])), Ok(()));
        assert_eq!(read_hello(&datagram(vec![], vec![])), Err(Violation::Version(0)));
        assert_eq!(read_hello(&datagram(vec![0x08, 0x02], vec![])), Err(Violation::Version(2)));
        assert_eq!(read_hello(&datagram(hello(), vec![7])), Err(Violation::DescriptorUnexpected(1)));
    }

    #[test]
    fn an_add_carries_exactly_one_descriptor() {
        let bytes = add("u", &identity());
        let expected = Event::Add { uid: "u".into(), identity: identity(), netns: 7 };
        assert_eq!(read_request(datagram(bytes.clone(), vec![7])), Ok(expected));
        let missing = Err(Violation::NamespaceMissing("u".into()));
        assert_eq!(read_request(datagram(bytes.clone(), vec![])), missing);
        let many = Err(Violation::DescriptorUnexpected(2));
        assert_eq!(read_request(datagram(bytes, vec![7, 8])), many);
    }

    #[test]
    fn other_requests_carry_none() {
        for (bytes, expected) in [
            (keep("u"), Event::Keep { uid: "u".into() }),
            (remove("u"), Event::Remove { uid: "u".into() }),
            (snapshot_sent(), Event::SnapshotSent { stale: vec![] }),
        ] {
            assert_eq!(read_request(datagram(bytes.clone(), vec![])), Ok(expected));
            let unexpected = Err(Violation::DescriptorUnexpected(1));
            assert_eq!(read_request(datagram(bytes, vec![7])), unexpected);
        }
    }

    #[test]
    fn nothing_is_made_up() {
        assert_eq!(read_request(datagram(vec![], vec![])), Err(Violation::Empty));
        assert_eq!(read_request(datagram(keep(""), vec![])), Err(Violation::UidMissing));
        assert_eq!(read_request(datagram(remove(""), vec![])), Err(Violation::UidMissing));
        assert_eq!(read_request(datagram(add("", &identity()), vec![1])), Err(Violation::UidMissing));
        let anonymous = WorkloadRequest {
            payload: Some(workload_request::Payload::Add(AddWorkload {
                uid: "u".into(),
                workload_info: None,
            })),
        };
        let missing = Err(Violation::IdentityMissing("u".into()));
        assert_eq!(read_request(datagram(anonymous.encode_to_vec(), vec![1])), missing);
        let partly = WorkloadIdentity { service_account: String::new(), ..identity() };
        assert_eq!(read_request(datagram(add("u", &partly), vec![1])), missing);
        let cut = Datagram { bytes: add("u", &identity()), descriptors: vec![1], truncated: true };
        assert_eq!(read_request(cut), Err(Violation::Truncated));
    }

    #[test]
    fn a_failure_never_reads_as_success() {
        assert_eq!(response(Ok(())), [0x0a, 0x00]);
        let read = |bytes| read_response(&datagram(bytes, vec![]));
        assert_eq!(read(response(Ok(()))), Ok(Ok(())));
        assert!(matches!(read(response(Err(""))), Ok(Err(text)) if !text.is_empty()));
        assert_eq!(read(vec![]), Err(Violation::Empty));
    }

    proptest! {
        #[test]
        fn errors_fit_the_agents_buffer(text in "\\PC{1,2000}") {
            let bytes = response(Err(&text));
            prop_assert!(bytes.len() <= MAX_REQUEST);
            let read = read_response(&datagram(bytes, vec![]));
            prop_assert!(matches!(read, Ok(Err(cut)) if !cut.is_empty() && text.starts_with(&cut)));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, descriptors in proptest::collection::vec(0_u32..3, 0..4)) {
            let count = descriptors.len();
            let _ = read_hello(&datagram(bytes.clone(), descriptors.clone()));
            let _ = read_response(&datagram(bytes.clone(), descriptors.clone()));
            if let Ok(event) = read_request(datagram(bytes, descriptors)) {
                prop_assert_eq!(count, usize::from(matches!(event, Event::Add { .. })));
            }
        }
    }
}
