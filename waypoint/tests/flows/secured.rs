//! TLS to applications, inside the tunnel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use ::http::Version;
use ambit_identity::serving::accept_control;
use ambit_identity::{Authority, Provider, ServingCertificate};
use ambit_model::l7::destination_rule::{TrafficPolicy, UpstreamTls};
use ambit_model::service::AppProtocol;
use tokio::sync::mpsc;

use crate::calls::{calls, set};
use crate::http::{client1, hear, serve};
use crate::mesh::{Mesh, ask};
use crate::{CART, CART_1, WEB, echo, get};

fn authority() -> Authority {
    Authority::create(Provider::default(), "example.org", "test", SystemTime::now()).unwrap()
}

/// A cart that speaks TLS under this name.
async fn shop(authority: &Authority, name: &str) -> Mesh {
    let mesh = Mesh::new(AppProtocol::Http2).await;
    let lifetime = Duration::from_secs(3600);
    let own = ServingCertificate::issue(authority, &[name.to_owned()], lifetime, SystemTime::now()).unwrap();
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let (inside, served) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((stream, port)) = streams.recv().await {
            if let Ok(stream) = accept_control(stream, &own).await {
                inside.send((stream, port)).unwrap();
            }
        }
    });
    serve(served, Version::HTTP_2, echo);
    mesh
}

async fn status(mesh: &Mesh, tls: UpstreamTls) -> (u16, String) {
    mesh.set([set(calls(TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() }))]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let heard = hear(client.send_request(get("/a")).await.unwrap()).await;
    (heard.status, heard.text().to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_application_proves_who_it_is_or_hears_nothing() {
    let ours = authority();
    let mesh = shop(&ours, "cart.example").await;
    let given = |server_name: Option<&str>, names: &[&str]| UpstreamTls {
        authorities: ours.roots_pem().into(),
        server_name: server_name.map(Into::into),
        names: names.iter().map(|name| (*name).into()).collect(),
        ..UpstreamTls::default()
    };
    let said = (200, "GET /a HTTP/2.0 ".to_owned());
    assert_eq!(status(&mesh, given(Some("cart.example"), &[])).await, said);
    assert_eq!(status(&mesh, given(Some("any.example"), &["cart.example"])).await, said);
    // Without a name, the host of the request is asked for: `cart`.
    for wrong in
        [given(None, &[]), given(Some("other.example"), &[]), given(Some("cart.example"), &["b.example"])]
    {
        let (status, text) = status(&mesh, wrong).await;
        assert!(status == 503 && text.ends_with("remote connection failure"), "{status} {text}");
    }
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UF"]).await;
    let stranger =
        UpstreamTls { authorities: authority().roots_pem().into(), ..given(Some("cart.example"), &[]) };
    assert_eq!(status(&mesh, stranger).await.0, 503);
    let unfit = UpstreamTls { authorities: "none".into(), ..given(Some("cart.example"), &[]) };
    assert_eq!(status(&mesh, unfit).await.0, 503);
    assert_eq!(status(&mesh, given(Some("cart.example"), &[])).await, said);
}
