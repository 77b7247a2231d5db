//! Does a path match, and how much of it is taken?

use ambit_model::Text;
use ambit_model::l7::matching::PathMatch;

use crate::request::expression::{Expression, InvalidExpression, Patterns};
use crate::request::value::Value;

/// A path match, ready for use.
#[derive(Debug)]
pub(super) enum Path {
    /// Every path.
    Any,
    Exact(Text),
    /// Whole elements, without the slash at the end.
    Elements(Text),
    Letters(Text),
    Expression(Expression),
    Grpc {
        service: Option<Value>,
        method: Option<Value>,
    },
    /// Any of the others but expressions, without regard to the case of letters.
    AnyCase(Box<Path>),
}

impl Path {
    pub(super) fn compile(
        path: Option<&PathMatch>,
        any_case: bool,
        patterns: &mut Patterns,
    ) -> Result<Self, InvalidExpression> {
        let compiled = match path {
            None => Self::Any,
            Some(PathMatch::Exact(path)) => Self::Exact(path.clone()),
            Some(PathMatch::Elements(prefix)) => Self::Elements(prefix.trim_end_matches('/').into()),
            Some(PathMatch::Prefix(prefix)) => Self::Letters(prefix.clone()),
            Some(PathMatch::Regex(pattern)) => Self::Expression(patterns.whole(pattern)?),
            Some(PathMatch::Grpc { service, method }) => Self::grpc(
                service.as_ref().map(|value| Value::compile(value, patterns)).transpose()?,
                method.as_ref().map(|value| Value::compile(value, patterns)).transpose()?,
            ),
        };
        Ok(if any_case { Self::AnyCase(Box::new(compiled)) } else { compiled })
    }

    fn grpc(service: Option<Value>, method: Option<Value>) -> Self {
        match (service, method) {
            (None, None) => Self::Any,
            (Some(Value::Exact(service)), Some(Value::Exact(method))) => {
                Self::Exact(format!("/{service}/{method}").into())
            }
            (Some(Value::Exact(service)), None) => Self::Elements(format!("/{service}").into()),
            (service, method) => Self::Grpc { service, method },
        }
    }

    /// How many bytes of the path the match takes; `None` where it does not match.
    pub(super) fn taken(&self, path: &str) -> Option<usize> {
        match self {
            Self::Any => Some(0),
            Self::Exact(exact) => (**exact == *path).then_some(path.len()),
            Self::Elements(prefix) => {
                (path.starts_with(&**prefix) && ends_element(path, prefix.len())).then_some(prefix.len())
            }
            Self::Letters(prefix) => path.starts_with(&**prefix).then_some(prefix.len()),
            Self::Expression(expression) => expression.matches(path.as_bytes()).then_some(path.len()),
            Self::Grpc { service, method } => {
                let (first, second) = path.strip_prefix('/')?.split_once('/')?;
                let holds = |value: &Option<Value>, text: &str| {
                    value.as_ref().is_none_or(|value| value.holds(text.as_bytes()))
                };
                (!second.contains('/') && holds(service, first) && holds(method, second))
                    .then_some(path.len())
            }
            Self::AnyCase(inner) => inner.taken_in_any_case(path),
        }
    }

    fn taken_in_any_case(&self, path: &str) -> Option<usize> {
        let begins = |prefix: &str| {
            path.as_bytes()
                .get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        match self {
            Self::Exact(exact) => exact.eq_ignore_ascii_case(path).then_some(path.len()),
            Self::Elements(prefix) => {
                (begins(prefix) && ends_element(path, prefix.len())).then_some(prefix.len())
            }
            Self::Letters(prefix) => begins(prefix).then_some(prefix.len()),
            other => other.taken(path),
        }
    }
}

/// Whether an element ends after `length` bytes of a path.
pub(super) fn ends_element(path: &str, length: usize) -> bool {
    matches!(path.as_bytes().get(length), None | Some(b'/'))
}
