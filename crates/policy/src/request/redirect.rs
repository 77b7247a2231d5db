//! Where is a client sent instead? (Gateway API HTTPRequestRedirectFilter, Istio HTTPRedirect)

use ambit_model::Text;
use ambit_model::l7::route::{Redirect, RedirectPort};
use http::{HeaderValue, StatusCode};

use super::authority::Authority;
use super::canonical::Request;
use super::expression::Patterns;
use super::rewrite::PathChange;

/// A redirect, ready for use.
#[derive(Debug, Clone)]
pub struct Redirection {
    status: StatusCode,
    scheme: Option<Text>,
    host: Option<Authority>,
    path: Option<PathChange>,
    port: RedirectPort,
}

/// Status and `Location` of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// The absolute URL.
    pub location: HeaderValue,
}

impl Redirection {
    /// Reads a redirect.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn compile(redirect: &Redirect, patterns: &mut Patterns) -> Result<Self, Text> {
        let status = match redirect.status {
            301 | 302 | 303 | 307 | 308 => StatusCode::from_u16(redirect.status).ok(),
            _ => None,
        };
        let status =
            status.ok_or_else(|| Text::from(format!("a redirect has no status {}", redirect.status)))?;
        if let Some(scheme) = redirect.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https"))
        {
            return Err(format!("a redirect's scheme is http or https, not {scheme:?}").into());
        }
        let host = match redirect.host.as_deref() {
            None => None,
            Some(host) => {
                Some(Authority::parse(host).ok_or_else(|| Text::from(format!("{host:?} is no host")))?)
            }
        };
        let path = redirect.path.as_ref().map(|path| PathChange::compile(path, patterns)).transpose();
        let path = path.map_err(|invalid| Text::from(invalid.to_string()))?;
        Ok(Self { status, scheme: redirect.scheme.clone(), host, path, port: redirect.port })
    }

    /// Where this request is sent, of whose path the rule's match took `taken` bytes. `None` where the URL could not be
    /// a header.
    pub fn locate(&self, request: &Request, taken: usize) -> Option<Location> {
        let scheme = self.scheme.as_deref().unwrap_or(request.scheme.as_str());
        let authority = self.host.as_ref().unwrap_or(request.authority());
        let port = match self.port {
            RedirectPort::Fixed(port) => Some(port),
            // A port that is written beside the host is meant.
            _ if self.host.as_ref().is_some_and(|host| host.port().is_some()) => authority.port(),
            RedirectPort::Automatic if self.scheme.is_some() => None,
            RedirectPort::Automatic => Some(request.destination.port),
            RedirectPort::Request => request.authority().port(),
            RedirectPort::Scheme => None,
        };
        let own = if scheme == "https" { 443 } else { 80 };
        let port = port.filter(|port| *port != own).map(|port| format!(":{port}")).unwrap_or_default();
        let changed = self.path.as_ref().map(|change| change.apply(request.path(), taken));
        let path = changed.as_ref().map_or(request.path(), |changed| &changed.path);
        let query = changed.as_ref().and_then(|changed| changed.query.as_deref()).or(request.query());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{scheme}://{}{port}{path}{query}", authority.host());
        Some(Location { status: self.status, location: HeaderValue::try_from(location).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ambit_model::l7::route::PathRewrite;

    use super::*;
    use crate::request::sample::{destination, parsed};
    use crate::request::{Destination, Scheme};

    fn redirect() -> Redirect {
        Redirect { scheme: None, host: None, path: None, port: RedirectPort::Automatic, status: 302 }
    }

    fn compile(redirect: &Redirect) -> Result<Redirection, Text> {
        Redirection::compile(redirect, &mut Patterns::default())
    }

    /// `http://cart.shop:8080/a/b?c=1`, dialled on a port of the service, two bytes of the path taken.
    fn locate(redirect: &Redirect, port: u16) -> String {
        let mut request = parsed("GET", "/a/b?c=1", &[("host", "cart.shop:8080")]).unwrap();
        request.destination = Arc::new(Destination { port, ..destination() });
        let location = compile(redirect).unwrap().locate(&request, 2).unwrap();
        assert_eq!(location.status, redirect.status);
        location.location.to_str().unwrap().to_owned()
    }

    #[test]
    fn ports_by_scheme_listener_and_word() {
        let https = Redirect { scheme: Some("https".into()), ..redirect() };
        let fixed = |port, redirect| Redirect { port: RedirectPort::Fixed(port), ..redirect };
        let asked = |redirect| Redirect { port: RedirectPort::Request, ..redirect };
        let scheme = |redirect| Redirect { port: RedirectPort::Scheme, ..redirect };
        for (redirect, port, expected) in [
            (redirect(), 80, "http://cart.shop/a/b?c=1"),
            (redirect(), 8080, "http://cart.shop:8080/a/b?c=1"),
            (redirect(), 443, "http://cart.shop:443/a/b?c=1"),
            (https.clone(), 8080, "https://cart.shop/a/b?c=1"),
            (fixed(8443, https.clone()), 80, "https://cart.shop:8443/a/b?c=1"),
            (fixed(443, https.clone()), 80, "https://cart.shop/a/b?c=1"),
            (fixed(80, redirect()), 8080, "http://cart.shop/a/b?c=1"),
            (fixed(8083, redirect()), 80, "http://cart.shop:8083/a/b?c=1"),
            (asked(https.clone()), 80, "https://cart.shop:8080/a/b?c=1"),
            (scheme(redirect()), 8080, "http://cart.shop/a/b?c=1"),
            (Redirect { host: Some("Other.org:81".into()), ..https }, 80, "https://other.org:81/a/b?c=1"),
        ] {
            assert_eq!(locate(&redirect, port), expected, "{redirect:?} on {port}");
        }
    }

    #[test]
    fn hosts_paths_and_status() {
        let host = Redirect { host: Some("other.org".into()), status: 308, ..redirect() };
        assert_eq!(locate(&host, 80), "http://other.org/a/b?c=1");
        let path = |path| Redirect { path: Some(path), ..redirect() };
        assert_eq!(locate(&path(PathRewrite::Elements("/x".into())), 80), "http://cart.shop/x/b?c=1");
        assert_eq!(locate(&path(PathRewrite::Elements("/".into())), 80), "http://cart.shop/b?c=1");
        assert_eq!(locate(&path(PathRewrite::Full("/x".into())), 80), "http://cart.shop/x?c=1");
        assert_eq!(locate(&path(PathRewrite::Full("/x?y".into())), 80), "http://cart.shop/x?y");
        let mut request = parsed("GET", "/", &[("host", "[::1]:443")]).unwrap();
        request.scheme = Scheme::Https;
        request.destination = Arc::new(Destination { port: 443, ..destination() });
        let location = compile(&redirect()).unwrap().locate(&request, 0).unwrap();
        assert_eq!(location.location, "https://[::1]/");
    }

    #[test]
    fn what_is_no_redirect_is_refused() {
        for broken in [
            Redirect { status: 200, ..redirect() },
            Redirect { scheme: Some("javascript".into()), ..redirect() },
            Redirect { host: Some("a/b".into()), ..redirect() },
            Redirect {
                path: Some(PathRewrite::Regex { pattern: "(".into(), replacement: "".into() }),
                ..redirect()
            },
        ] {
            assert!(compile(&broken).is_err(), "{broken:?}");
        }
    }
}
