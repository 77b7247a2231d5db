//! Where does a request carry its token?

use ambit_model::Text;
use ambit_model::l7::authentication::JwtRule;
use http::header::{AUTHORIZATION, HeaderName};

use crate::request::canonical::Request;
use crate::request::fields::decoded;

/// The scheme of the usual place, whose case does not matter (RFC 9110 section 11.1).
const BEARER: &str = "bearer ";

/// The places of one rule.
#[derive(Debug)]
pub(super) struct Places {
    /// `Authorization: Bearer`.
    authorization: bool,
    headers: Vec<(HeaderName, Text)>,
    params: Vec<Text>,
    cookies: Vec<Text>,
}

impl Places {
    /// A rule that names no place means `Authorization: Bearer` and the parameter `access_token`.
    pub(super) fn compile(rule: &JwtRule) -> Result<Self, Text> {
        let headers = rule.from_headers.iter().map(|(name, before)| {
            let name =
                HeaderName::try_from(&**name).map_err(|_| format!("{name:?} is no name of a header"))?;
            Ok((name, before.clone()))
        });
        let headers = headers.collect::<Result<Vec<_>, String>>()?;
        let (params, cookies) = (rule.from_params.clone(), rule.from_cookies.clone());
        if headers.is_empty() && params.is_empty() && cookies.is_empty() {
            return Ok(Self { authorization: true, headers, params: vec!["access_token".into()], cookies });
        }
        Ok(Self { authorization: false, headers, params, cookies })
    }

    /// Every token in the rule's places.
    pub(super) fn find(&self, request: &Request) -> Vec<String> {
        let mut found = Vec::new();
        if self.authorization {
            found.extend(values(request, &AUTHORIZATION).filter_map(bearer).map(str::to_owned));
        }
        for (name, before) in &self.headers {
            let tokens = values(request, name).filter_map(|value| value.strip_prefix(&**before));
            found.extend(tokens.map(|token| token.trim().to_owned()));
        }
        let query = || request.query().unwrap_or_default().split('&');
        for param in &self.params {
            let tokens = query().filter_map(|pair| parameter(pair, param));
            found.extend(tokens.map(|token| String::from_utf8_lossy(&decoded(token)).into_owned()));
        }
        found.extend(self.cookies.iter().flat_map(|name| request.cookies(name)).map(str::to_owned));
        found
    }

    /// Takes the tokens away.
    pub(super) fn remove(&self, request: &mut Request) {
        if self.authorization && values(request, &AUTHORIZATION).any(|value| bearer(value).is_some()) {
            request.headers.remove(AUTHORIZATION);
        }
        for (name, before) in &self.headers {
            if values(request, name).any(|value| value.starts_with(&**before)) {
                request.headers.remove(name);
            }
        }
        request.retain_query(|pair| !self.params.iter().any(|name| parameter(pair, name).is_some()));
        request.retain_cookies(|name| !self.cookies.iter().any(|each| **each == *name));
    }
}

/// Values that are text. What is not is no token.
fn values<'r>(request: &'r Request, name: &HeaderName) -> impl Iterator<Item = &'r str> {
    request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
}

/// The value of a query's pair, if it is of this name.
fn parameter<'p>(pair: &'p str, name: &str) -> Option<&'p str> {
    let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
    (*decoded(own) == *name.as_bytes()).then_some(value)
}
