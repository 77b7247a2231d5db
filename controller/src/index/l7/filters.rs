//! What a rule, or one of its backends, does to requests and responses.

use std::time::Duration;

use ambit_kubernetes::gateway_api::{
    CorsFilter, FilterType, HTTPRouteFilter, HeaderFilter, MirrorFilter, PathModifier, RedirectFilter,
};
use ambit_model::Text;
use ambit_model::l7::matching::{Share, ValueMatch};
use ambit_model::l7::route::{
    Cors, Filter, HeaderChange, Mirror, Parent, PathRewrite, Redirect, RedirectPort, Rewrite,
};

use super::backends::resolve;
use super::{Author, View};
use crate::index::condition::unmet;

/// How long a preflight's answer may be kept where nothing is said.
const MAX_AGE: u32 = 5;

/// The filters of a list.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) filters: Vec<Filter>,
    pub(super) redirect: Option<Redirect>,
    /// Why they cannot be obeyed.
    pub(super) invalid: Option<Text>,
}

/// Translates a list. One that cannot be obeyed as a whole is invalid as a whole.
pub(super) fn filters(
    list: &[HTTPRouteFilter],
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Filters {
    let mut all = Filters::default();
    for one in list {
        match one.kind {
            FilterType::RequestRedirect => all.redirect = one.request_redirect.as_ref().map(redirect),
            FilterType::RequestMirror => {
                let mirrors = one.request_mirror.iter();
                all.filters.extend(mirrors.map(|each| mirror(each, parents, author, view, notes)));
            }
            _ => match plain(one) {
                Some(filter) => all.filters.push(filter),
                None => {
                    let text = unserved(one);
                    notes.push(unmet(author, "ResolvedRefs", "InvalidFilter", &text));
                    all.invalid.get_or_insert(text.into());
                }
            },
        }
    }
    all
}

/// A filter that refers to nothing.
fn plain(one: &HTTPRouteFilter) -> Option<Filter> {
    match one.kind {
        FilterType::RequestHeaderModifier => {
            one.request_header_modifier.as_ref().map(|filter| Filter::Request(headers(filter)))
        }
        FilterType::ResponseHeaderModifier => {
            one.response_header_modifier.as_ref().map(|filter| Filter::Response(headers(filter)))
        }
        FilterType::URLRewrite => one.url_rewrite.as_ref().map(|filter| {
            Filter::Rewrite(Rewrite {
                host: filter.hostname.as_deref().map(Into::into),
                path: filter.path.as_ref().and_then(path),
            })
        }),
        FilterType::CORS => one.cors.as_ref().map(|filter| Filter::Cors(cors(filter))),
        _ => None,
    }
}

fn unserved(one: &HTTPRouteFilter) -> String {
    let what = match (&one.kind, &one.extension_ref) {
        (FilterType::ExtensionRef, Some(extension)) => {
            format!("ExtensionRef to {} {} of group {}", extension.kind, extension.name, extension.group)
        }
        (kind, _) => format!("{kind:?}"),
    };
    format!("filter {what} is not known here, so requests are answered 500; remove it")
}

fn headers(filter: &HeaderFilter) -> HeaderChange {
    let pairs = |list: &[ambit_kubernetes::gateway_api::Header]| {
        let pair = |header: &ambit_kubernetes::gateway_api::Header| {
            (header.name.to_ascii_lowercase().into(), header.value.as_str().into())
        };
        list.iter().map(pair).collect()
    };
    HeaderChange {
        set: pairs(&filter.set),
        add: pairs(&filter.add),
        remove: filter.remove.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
    }
}

fn path(modifier: &PathModifier) -> Option<PathRewrite> {
    let full = modifier.replace_full_path.as_deref().map(|path| PathRewrite::Full(path.into()));
    full.or_else(|| modifier.replace_prefix_match.as_deref().map(|path| PathRewrite::Elements(path.into())))
}

fn redirect(filter: &RedirectFilter) -> Redirect {
    Redirect {
        scheme: filter.scheme.as_deref().map(Into::into),
        host: filter.hostname.as_deref().map(Into::into),
        path: filter.path.as_ref().and_then(path),
        port: filter.port.map_or(RedirectPort::Automatic, RedirectPort::Fixed),
        status: filter.status_code.unwrap_or(302),
    }
}

fn mirror(
    filter: &MirrorFilter,
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Filter {
    let resolved = resolve(&filter.backend_ref, parents, author, view, notes);
    Filter::Mirror(Mirror { to: resolved.to, share: share(filter), invalid: resolved.invalid })
}

fn share(filter: &MirrorFilter) -> Share {
    let part = |numerator: i32, denominator: i32| Share {
        numerator: u32::try_from(numerator).unwrap_or(0),
        denominator: u32::try_from(denominator).unwrap_or(1).max(1),
    };
    match (filter.percent, filter.fraction) {
        (Some(percent), _) => part(percent, 100),
        (None, Some(fraction)) => part(fraction.numerator, fraction.denominator.unwrap_or(100)),
        (None, None) => Share::ALL,
    }
}

fn cors(filter: &CorsFilter) -> Cors {
    let texts = |list: &[String], lower: bool| {
        let text = |value: &String| match lower {
            true => value.to_ascii_lowercase().into(),
            false => value.as_str().into(),
        };
        list.iter().map(text).collect()
    };
    Cors {
        origins: filter.allow_origins.iter().map(|origin| self::origin(origin)).collect(),
        methods: texts(&filter.allow_methods, false),
        headers: texts(&filter.allow_headers, true),
        expose: texts(&filter.expose_headers, true),
        max_age: Some(Duration::from_secs(filter.max_age.unwrap_or(MAX_AGE).into())),
        credentials: filter.allow_credentials.unwrap_or(false),
        forward_unmatched: false,
    }
}

/// `*` is any origin; in a host it stands for its labels, in a port for any.
fn origin(pattern: &str) -> ValueMatch {
    if pattern == "*" {
        return ValueMatch::Present;
    }
    if !pattern.contains('*') {
        return ValueMatch::Exact(pattern.to_ascii_lowercase().into());
    }
    let (scheme, rest) = pattern.split_once("://").unwrap_or(("", pattern));
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let host = quoted(host).replace('*', "[^/:]+");
    let port = match port {
        "" => String::new(),
        "*" => "(:[0-9]+)?".to_owned(),
        port => format!(":{port}"),
    };
    ValueMatch::Regex(format!("(?i:{}://{host}{port})", quoted(scheme)).into())
}

/// With what has a meaning in expressions written as itself, `*` excepted.
fn quoted(text: &str) -> String {
    text.replace('.', "\\.").replace('+', "\\+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (pattern, expected) in [
            ("*", ValueMatch::Present),
            ("https://A.example.com", ValueMatch::Exact("https://a.example.com".into())),
            ("https://*.a.com", ValueMatch::Regex("(?i:https://[^/:]+\\.a\\.com)".into())),
            ("https://*.a.com:8443", ValueMatch::Regex("(?i:https://[^/:]+\\.a\\.com:8443)".into())),
            ("https://*", ValueMatch::Regex("(?i:https://[^/:]+)".into())),
            ("http://a.com:*", ValueMatch::Regex("(?i:http://a\\.com(:[0-9]+)?)".into())),
        ] {
            assert_eq!(origin(pattern), expected, "{pattern}");
        }
    }
}
