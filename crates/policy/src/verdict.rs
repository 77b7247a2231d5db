//! What authorization decided, and by which policy and rule.

use std::fmt;

use ambit_model::Text;
use smallvec::SmallVec;

/// The answer of [`authorize`](crate::authorize): what is enforced, and what dry-run policies would have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is enforced.
    pub verdict: Verdict,
    /// What dry-run policies would have done, in the order of their evaluation; to be logged, never enforced.
    pub dry_run: SmallVec<[DryRun; 2]>,
}

/// Whether a connection may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow {
        /// The ALLOW policy that matched; `None` where no ALLOW policy applies.
        policy: Option<Matched>,
    },
    /// It may not.
    Deny {
        /// Why, naming the policy.
        reason: DenyReason,
    },
}

impl Verdict {
    /// Whether the connection may pass.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why it may not pass.
    pub fn denied(&self) -> Option<&DenyReason> {
        match self {
            Self::Allow { .. } => None,
            Self::Deny { reason } => Some(reason),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow { policy: Some(policy) } => write!(f, "allowed by policy {policy}"),
            Self::Allow { policy: None } => f.write_str("allowed: no allow policy applies"),
            Self::Deny { reason } => reason.fmt(f),
        }
    }
}

/// A rule of a policy that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// `<namespace>/<name>`.
    pub policy: Text,
    /// Index of its first matching rule.
    pub rule: usize,
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (rule {})", self.policy, self.rule)
    }
}

/// Why a connection is denied. Its text is one line for logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DenyReason {
    /// A DENY policy matches.
    #[error("denied by policy {}", .0.policy)]
    ExplicitDeny(Matched),
    /// ALLOW policies apply, and none of them matches.
    #[error("allow policies exist, but none allowed: {}", Listed { first, count: *count })]
    NoAllowMatched {
        /// The first of them, in the order of their evaluation.
        first: SmallVec<[Text; 4]>,
        /// How many there are.
        count: usize,
    },
    /// The workload lists a policy that has not arrived. Until it does, what it would deny is not known.
    #[error("policy {policy} is listed on the workload but not known yet (POLICY_PENDING)")]
    PolicyPending {
        /// `<namespace>/<name>`.
        policy: Text,
    },
    /// A policy that applies could not be understood, so what it would deny is not known.
    #[error("policy {policy} cannot be evaluated and therefore denies: {why}")]
    PolicyUnusable {
        /// `<namespace>/<name>`.
        policy: Text,
        /// What is wrong with it.
        why: Text,
    },
}

impl DenyReason {
    /// The policy that denies; `None` where several ALLOW policies failed to match.
    pub fn policy(&self) -> Option<&Text> {
        match self {
            Self::ExplicitDeny(matched) => Some(&matched.policy),
            Self::NoAllowMatched { first, count: 1 } => first.first(),
            Self::NoAllowMatched { .. } => None,
            Self::PolicyPending { policy } | Self::PolicyUnusable { policy, .. } => Some(policy),
        }
    }
}

struct Listed<'a> {
    first: &'a [Text],
    count: usize,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, policy) in self.first.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{policy}")?;
        }
        match self.count.saturating_sub(self.first.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What a dry-run policy would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// `<namespace>/<name>`.
    pub policy: Text,
    /// What it would have done.
    pub outcome: DryRunOutcome,
}

/// What a dry-run policy would have done, were it enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRunOutcome {
    /// This DENY rule matches: the connection would be denied.
    DenyMatched(usize),
    /// This ALLOW rule matches.
    AllowMatched(usize),
    /// The ALLOW policy does not match; it would deny unless another ALLOW policy matched.
    AllowNotMatched,
    /// It could not be understood: it would deny.
    Unusable(Text),
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.policy;
        match &self.outcome {
            DryRunOutcome::DenyMatched(rule) => write!(f, "dry-run: {policy} (rule {rule}) would deny"),
            DryRunOutcome::AllowMatched(rule) => write!(f, "dry-run: {policy} (rule {rule}) would allow"),
            DryRunOutcome::AllowNotMatched => write!(f, "dry-run: {policy} would not allow"),
            DryRunOutcome::Unusable(why) => {
                write!(f, "dry-run: {policy} cannot be evaluated and would deny: {why}")
            }
        }
    }
}
