//! Texts with a `*` at one end, as policies write them.

use ambit_model::Text;
use ambit_model::policy::StringMatch;

/// A text with an optional `*` at its beginning or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(Text),
    Prefix(Text),
    Suffix(Text),
    /// Any text but the empty one.
    Filled,
    /// Any text.
    Present,
}

impl Pattern {
    /// `*` is any text but the empty one; `*x` any that ends with x, `x*` any that begins with it.
    pub(super) fn new(text: &str) -> Self {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => Self::Filled,
            (Some(suffix), _) => Self::Suffix(suffix.into()),
            (None, Some(prefix)) => Self::Prefix(prefix.into()),
            (None, None) => Self::Exact(text.into()),
        }
    }

    /// The same for headers: `*` is any text, once the header is there.
    pub(super) fn of_header(text: &str) -> Self {
        if text == "*" { Self::Present } else { Self::new(text) }
    }

    pub(super) fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Self::Filled => !text.is_empty(),
            Self::Present => true,
        }
    }
}

/// The same as a comparison with an identity's principal.
pub(super) fn principal(text: &str) -> StringMatch {
    match Pattern::new(text) {
        Pattern::Exact(text) => StringMatch::Exact(text),
        Pattern::Prefix(text) => StringMatch::Prefix(text),
        Pattern::Suffix(text) => StringMatch::Suffix(text),
        Pattern::Filled | Pattern::Present => StringMatch::Presence,
    }
}

/// `issuer/subject`, split at the last slash because issuers are URLs. `*` may stand for either half, at the
/// beginning of the issuer or at the end of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestPrincipal {
    issuer: Pattern,
    subject: Pattern,
}

impl RequestPrincipal {
    pub(super) fn new(text: &str) -> Self {
        let exact = |text: &str| Pattern::Exact(text.into());
        let (issuer, subject) = match (text.rsplit_once('/'), text.starts_with('*'), text.ends_with('*')) {
            (Some((issuer, subject)), true, _) => (Pattern::new(issuer), exact(subject)),
            (Some((issuer, subject)), false, true) => (exact(issuer), Pattern::new(subject)),
            (Some((issuer, subject)), false, false) => (exact(issuer), exact(subject)),
            (None, true, _) => (Pattern::Filled, Pattern::new(text)),
            (None, false, true) => (Pattern::new(text), Pattern::Filled),
            (None, false, false) => (exact(text), exact("")),
        };
        Self { issuer, subject }
    }

    pub(super) fn holds(&self, issuer: &str, subject: &str) -> bool {
        self.issuer.holds(issuer.as_bytes()) && self.subject.holds(subject.as_bytes())
    }
}

/// A namespace: `*` anywhere stands for any letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Namespace(Vec<Text>);

impl Namespace {
    pub(super) fn new(text: &str) -> Self {
        Self(text.split('*').map(Text::from).collect())
    }

    pub(super) fn holds(&self, namespace: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return **first == *namespace };
        let within = namespace.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
        let found = middle.iter().try_fold(within, |within, part| {
            let within = within?;
            within.find(&**part).map(|at| Some(&within[at + part.len()..]))
        });
        found.flatten().is_some()
    }
}
