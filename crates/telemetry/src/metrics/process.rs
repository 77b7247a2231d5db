//! `process_open_fds` and `process_max_fds`.

use rustix::process::{Resource, getrlimit};

use super::exposition::Exposition;
use super::instrument::Kind;
use super::registry::Collect;

/// Counts the descriptors of this process at every scrape.
#[derive(Debug, Clone, Copy)]
pub struct ProcessMetrics;

impl Collect for ProcessMetrics {
    fn collect(&self, out: &mut Exposition) {
        // The listing holds the descriptor that lists. Where /proc is missing the family is, too.
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            let open = entries.count().saturating_sub(1);
            out.family("process_open_fds", "Number of open file descriptors", Kind::Gauge).sample("", open);
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            out.family("process_max_fds", "Maximum number of file descriptors", Kind::Gauge).sample("", most);
        }
    }
}
