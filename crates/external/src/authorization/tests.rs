use ambit_proto::envoy::auth::{DeniedHttpResponse, OkHttpResponse};
use ambit_proto::envoy::core::{HeaderValue as Header, QueryParameter};
use ambit_proto::envoy::kinds::HttpStatus;
use ambit_proto::google::rpc::Status;
use proptest::prelude::*;

use super::*;

fn header(name: &str, value: &str, append: Option<bool>, append_action: i32) -> HeaderValueOption {
    let header = Header { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() };
    HeaderValueOption { header: Some(header), append, append_action, keep_empty_value: false }
}

fn answer(code: i32, http_response: Option<HttpResponse>) -> Result<Answer, NoAnswer> {
    let status = Some(Status { code, message: String::new(), details: Vec::new() });
    Answer::decode(&frame(&CheckResponse { status, http_response }))
}

#[test]
fn a_question_says_what_is_known() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", HeaderValue::from_static("1"));
    headers.append("x-a", HeaderValue::from_static("2"));
    let question = Question {
        time: UNIX_EPOCH,
        client: "10.0.0.1:40000".parse().unwrap(),
        client_principal: Some("spiffe://cluster.local/ns/shop/sa/web"),
        destination: Some("[fd00::1]:80".parse().unwrap()),
        own_principal: "spiffe://cluster.local/ns/shop/sa/waypoint",
        id: "7",
        method: "POST",
        scheme: "http",
        host: "cart",
        path: "/a?b",
        protocol: "HTTP/2",
        headers: &headers,
        body: Some(b"two"),
    };
    let sent = question.encode();
    let asked = CheckRequest::decode(unframe(&sent).unwrap()).unwrap().attributes.unwrap();
    assert_eq!(asked.source.unwrap().principal, "spiffe://cluster.local/ns/shop/sa/web");
    let http = asked.request.unwrap().http.unwrap();
    assert_eq!((&*http.path, &*http.host, &*http.body, http.size), ("/a?b", "cart", "two", 3));
    assert_eq!((&*http.headers["x-a"], &*http.headers[":method"]), ("1,2", "POST"));
    let bytes = Question { body: Some(&[0xff]), ..question }.encode();
    let asked = CheckRequest::decode(unframe(&bytes).unwrap()).unwrap().attributes.unwrap();
    assert_eq!(asked.request.unwrap().http.unwrap().raw_body, [0xff]);
}

#[test]
fn headers_change_as_the_answer_says() {
    let ok = OkHttpResponse {
        headers: vec![
            header("x-set", "new", None, 0),
            header("x-append", "new", Some(true), 0),
            header("x-absent", "new", None, 1),
            header("x-there", "new", None, 1),
            header("x-replace", "new", None, 3),
            header("x-nowhere", "new", None, 3),
        ],
        headers_to_remove: vec!["X-Gone".to_owned()],
        ..OkHttpResponse::default()
    };
    let Ok(Answer::Allow { request, remove, .. }) = answer(0, Some(HttpResponse::OkResponse(ok))) else {
        panic!("it allows");
    };
    assert_eq!(remove, ["x-gone"]);
    let mut headers = HeaderMap::new();
    for name in ["x-set", "x-append", "x-there", "x-replace"] {
        headers.insert(name, HeaderValue::from_static("old"));
    }
    for change in request {
        change.apply(&mut headers);
    }
    let all = |name: &str| {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap());
        values.collect::<Vec<_>>().join(",")
    };
    let names = ["x-set", "x-append", "x-absent", "x-there", "x-replace", "x-nowhere"];
    assert_eq!(names.map(all), ["new", "old,new", "new", "old", "new", ""]);
}

#[test]
fn denials_are_told() {
    assert_eq!(
        answer(7, None),
        Ok(Answer::Deny { status: StatusCode::FORBIDDEN, headers: Vec::new(), body: String::new() })
    );
    let denied = |code| {
        let status = Some(HttpStatus { code });
        let headers = vec![header("location", "/login", None, 0)];
        Some(HttpResponse::DeniedResponse(DeniedHttpResponse { status, headers, body: "no".to_owned() }))
    };
    let Ok(Answer::Deny { status, headers, body }) = answer(16, denied(302)) else { panic!("it denies") };
    assert_eq!((status.as_u16(), headers.len(), &*body), (302, 1, "no"));
    assert_eq!(answer(7, denied(99)), Err(NoAnswer::Status(99)));
    assert_eq!(answer(0, denied(403)), Err(NoAnswer::Contradiction));
}

#[test]
fn what_is_not_understood_is_no_answer() {
    let ok = |headers: Vec<HeaderValueOption>| {
        Some(HttpResponse::OkResponse(OkHttpResponse { headers, ..OkHttpResponse::default() }))
    };
    for headers in [
        vec![header("a b", "1", None, 0)],
        vec![header(":path", "/admin", None, 0)],
        vec![header("x", "1\r\nx-admin: 1", None, 0)],
        vec![header("x", "1", None, 9)],
        vec![HeaderValueOption::default()],
    ] {
        assert!(matches!(answer(0, ok(headers.clone())), Err(NoAnswer::Header(_))), "{headers:?}");
    }
    assert_eq!(answer(7, ok(Vec::new())), Err(NoAnswer::Contradiction));
    let query = OkHttpResponse {
        query_parameters_to_set: vec![QueryParameter::default()],
        ..OkHttpResponse::default()
    };
    assert_eq!(answer(0, Some(HttpResponse::OkResponse(query))), Err(NoAnswer::Query));
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read(bytes: Vec<u8>) {
        let framed = [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat();
        Answer::decode(&bytes).ok();
        Answer::decode(&framed).ok();
    }
}
