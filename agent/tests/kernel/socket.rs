//! Who may ask for pods (attack A27).

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::Test;
use crate::agent::Agent;
use crate::node::Node;

pub(crate) const TESTS: &[Test] = &[("a27_another_user_is_refused", a27_another_user_is_refused)];

fn connect(path: &std::path::Path) -> rustix::io::Result<()> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn a27_another_user_is_refused() {
    let node = Node::new();
    // As open as a mistaken operator can make it.
    fs::create_dir(node.zds.parent().unwrap()).unwrap();
    for path in [node.directory.path(), node.zds.parent().unwrap()] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let agent = Agent::start(&node);
    agent.until("readiness", || agent.ready());
    assert_eq!(fs::metadata(&node.zds).unwrap().mode() & 0o777, 0o600);
    connect(&node.zds).unwrap();

    // This thread's file access only, as another user; in a user namespace there is no other.
    let stranger = nix::unistd::Uid::from_raw(12345);
    let own = nix::unistd::setfsuid(stranger);
    let as_stranger = nix::unistd::setfsuid(own);
    if as_stranger == stranger {
        nix::unistd::setfsuid(stranger);
        let refused = connect(&node.zds);
        nix::unistd::setfsuid(own);
        assert_eq!(refused, Err(rustix::io::Errno::ACCESS));
    }
}
