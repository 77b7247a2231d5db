//! How many instructions does each step of the data path take?
//!
//! Counted by valgrind's callgrind, not timed: a count is the same on a busy machine. Each case prepares its work, does
//! it once to warm up, and does it once inside [`measured`], the only function that is counted.
//!
//! A copy of a large piece of memory counts about one instruction per byte: the bulk cases tell how often bytes are
//! copied, more than how long they take.

mod cases;

pub mod budget;
pub mod count;

pub use cases::CASES;

/// One thing to count.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What the budget calls it.
    pub name: &'static str,
    /// Makes the work, which can be done more than once.
    pub prepare: fn() -> anyhow::Result<Work>,
}

impl Case {
    /// The first part of the name. Cases of a group are counted in one process.
    pub fn group(&self) -> &'static str {
        self.name.split('/').next().unwrap_or(self.name)
    }
}

/// The work of a case: to be done from start to end by one call.
pub type Work = Box<dyn FnMut() -> anyhow::Result<()>>;

/// The case of this name.
pub fn case(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

/// Prepares a case, does it once, and once more counted.
///
/// # Errors
/// The case could not be prepared, or failed.
#[inline(never)] // Callgrind writes a count down when it leaves this function.
pub fn run(case: &Case) -> anyhow::Result<()> {
    let mut work = (case.prepare)()?;
    work()?;
    measured(&mut work)
}

/// What callgrind counts: it knows the function by its name.
#[inline(never)]
fn measured(work: &mut Work) -> anyhow::Result<()> {
    work()
}
