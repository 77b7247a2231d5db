//! Paths of operations, and their templates (Istio AuthorizationPolicy `paths`).

use ambit_model::Text;

use super::pattern::Pattern;

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    Plain(Pattern),
    Template(Vec<Part>),
}

/// What stands between two slashes of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(Text),
    /// `{*}`: one element that is not empty.
    One,
    /// `{**}`: any text, slashes as well. At most one in a template.
    Any,
}

impl Path {
    /// A template where the text has `{*}` or `{**}`.
    pub(super) fn new(text: &str) -> Result<Self, Text> {
        if !text.contains("{*}") && !text.contains("{**}") {
            return Ok(Self::Plain(Pattern::new(text)));
        }
        let refuse = |why: &str| Err(format!("{text:?} is no path template: {why}").into());
        let Some(relative) = text.strip_prefix('/') else { return refuse("it does not begin with /") };
        let parts = relative.split('/').map(|part| match part {
            "{*}" => Some(Part::One),
            "{**}" => Some(Part::Any),
            _ if part.contains(['{', '}', '*']) => None,
            _ => Some(Part::Literal(part.into())),
        });
        let Some(parts) = parts.collect::<Option<Vec<_>>>() else {
            return refuse(
                "{*} and {**} must stand alone between slashes, and no other braces or stars are known",
            );
        };
        if parts.iter().filter(|part| **part == Part::Any).count() > 1 {
            return refuse("{**} may stand in it once");
        }
        Ok(Self::Template(parts))
    }

    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Plain(pattern) => pattern.holds(path.as_bytes()),
            Self::Template(parts) => {
                path.strip_prefix('/').is_some_and(|relative| template_holds(parts, relative))
            }
        }
    }
}

fn template_holds(parts: &[Part], path: &str) -> bool {
    let elements: Vec<&str> = path.split('/').collect();
    let Some(any) = parts.iter().position(|part| *part == Part::Any) else {
        return all_hold(parts, &elements);
    };
    let (before, after) = (&parts[..any], &parts[any + 1..]);
    // `{**}` stands for one element at least, which may be empty.
    if elements.len() < parts.len() {
        return false;
    }
    let tail = elements.len() - after.len();
    all_hold(before, &elements[..any]) && all_hold(after, &elements[tail..])
}

fn all_hold(parts: &[Part], elements: &[&str]) -> bool {
    parts.len() == elements.len()
        && parts.iter().zip(elements).all(|(part, element)| match part {
            Part::Literal(literal) => **literal == **element,
            Part::One => !element.is_empty(),
            Part::Any => true,
        })
}
