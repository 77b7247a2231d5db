//! Which renderers have ever put rules into this node's pods? Kept beside the ZDS socket, so that an agent that uses
//! another one knows to look for its predecessor's rules.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ambit_netns::rules::Backend;

/// The file of a ZDS socket.
fn file(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".rules");
    PathBuf::from(name)
}

/// Notes that `backend` is used from now on; tells whether another one has been used before.
///
/// The file goes with the directory of the socket: where that does not survive a reboot, neither do rules.
pub(crate) fn note(socket: &Path, backend: Backend) -> io::Result<bool> {
    let path = file(socket);
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    // What cannot be read counts as another one.
    let mut used: BTreeSet<&str> = before.lines().collect();
    let name = backend.to_string();
    let known = !used.insert(&name);
    if !known {
        let lines: String = used.iter().flat_map(|name| [*name, "\n"]).collect();
        fs::write(&path, lines)?;
    }
    Ok(used.len() > 1)
}

/// Forgets them: no rule of any of them is left.
pub(crate) fn forget(socket: &Path) -> io::Result<()> {
    match fs::remove_file(file(socket)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_renderer_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("zds.sock");
        assert!(!note(&socket, Backend::Nftables).unwrap());
        assert!(!note(&socket, Backend::Nftables).unwrap());
        assert!(note(&socket, Backend::Iptables).unwrap());
        assert!(note(&socket, Backend::Nftables).unwrap());
        fs::write(file(&socket), "something else\n").unwrap();
        assert!(note(&socket, Backend::Nftables).unwrap());
        forget(&socket).unwrap();
        assert!(!file(&socket).exists());
        forget(&socket).unwrap();
        assert!(!note(&socket, Backend::Iptables).unwrap());
    }
}
