//! Keys and tokens that another implementation (OpenSSL) has made and signed.

/// Public keys: RSA of 2048 bits for RS256, P-256, P-384, and the Ed25519 key of RFC 8037, appendix A.
pub(super) const KEYS: &str = r#"{
 "keys": [
  {
   "kty": "RSA",
   "kid": "rsa",
   "alg": "RS256",
   "use": "sig",
   "n": "2Z61JUHF21mEg6MpNW_7MAO6VemO4n7OZFvDDJ48TMyG5zWofKpNFwrfdMX3aFp2LaRffi2OhPJE1a-WUVyl2s_fKrA3KmK7hoONlIqxsMr-AocD3sSTBr6MvO5gUpqWz7OVXabDjM8XJaPZx_DmpIbRRsNSK6VkoQvG74hE2GAXPBauVaP7mdEPm8IDsyuTzw5pGtqf3pMA908wVEWlTg2Hl0TtbdrqlTdcB7fCB8K5oJSiy9rw0nidHuTF3DOOGiUF4CtTegHiRbyz3drb-qbNeOi4sUWocvCBcuCTxXHbteYWI_WtX_s_Cr6VcvVlPo9Jerr8PGqINkcJh8gASQ",
   "e": "AQAB"
  },
  {
   "kty": "EC",
   "kid": "p256",
   "crv": "P-256",
   "x": "ODfXL8xaE8CH0z-xKJmhWLpQl1huoG9RZQG5hr94Tiw",
   "y": "kDqkxpnMsCnVPS_6G8HQPN-sbXscXdOC58YNYhUbMGo"
  },
  {
   "kty": "EC",
   "kid": "p384",
   "crv": "P-384",
   "x": "lBbEKoBboOPNsmljjlztltUwk_sM6UZNC-vRFPSm7v77BABYOQRTMc_h_r72rVB0",
   "y": "wvyJt-VDHze0cjMqPnQ2R6U8z2qy0z2QETe3o__VQDxKPsGKCrlcU3xEMGfhrFZZ"
  },
  {
   "kty": "OKP",
   "kid": "ed",
   "crv": "Ed25519",
   "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
  }
 ]
}"#;

/// The private half of the Ed25519 key (RFC 8037, appendix A.1), as PKCS #8.
pub(super) const ED25519: [u8; 48] = [
    48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32, 157, 97, 177, 157, 239, 253, 90, 96, 186, 132,
    74, 244, 146, 236, 44, 196, 68, 73, 197, 105, 123, 50, 105, 25, 112, 59, 172, 3, 28, 174, 127, 96,
];

/// Tokens of the issuer `joe` for the subject `s`, by algorithm.
pub(super) const TOKENS: [(&str, &str); 4] = [
    (
        "RS256",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJqb2UiLCJzdWIiOiJzIn0.LSNiMoB6_n9VXQolSDsTndIk5NMCDnYvrFb5SGQ5fVnQiPwHr0pmGNfpg6MB2N43fVDITCUohJwK8T5FjEUVKeRmLzhQ22t6uy3aQ80SNAVBCqS7kyyJRXbxbKVn0jU8Pu73pZ6q6XGHEd6_8weIdF0YU4HHCsVYmJ2R8kX-rut3qd0IT9fJ1vWNX438lB1ahr5SWCNXqmGin04MNNZLL1e7y-kgan--oIH7B3FHGkwZ5nWd0IwAFJ1mYGTWunOejZxt49v5KOYUEEDwaAQgLFWi0azhS59R2pqxqwCPwFJcINvnQM9n5hSgKApRmgACWjDfCgwWA_BgbxMuOT9uQA",
    ),
    (
        "PS256",
        "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJqb2UiLCJzdWIiOiJzIn0.cIs7v9rwBrv7QmFuM0q2x1A0YvaBZQpQ0wBt-3qRFhiuNIlEVi-SB7m1dLEC4cocX736PaVWuGH7paTuTpCRMdK3TG8fMIXHUUMCmTcDaiMCyFFmdZ1Tb6Za27bzZkTxIjQzX62YNIaDvqkhOhGpzB1ewYN4slyIhcB9G-YsT9u_5YOTsoQtxYcr6qBL0fTmDV5R4fwb0vqdatPCPPdSQMvkN7ZWmg9OflREEJ-KcnsAwycm7O1VuKt1rl0E0Tl4dXpXzPrHSzOGGRS0Y7npB-qDiQYPjiL_Gk4EeA9u6bhB_fYH3RsOAglDzVfjYziR_JRc3N6OuV-0brCgc7q6DQ",
    ),
    (
        "ES256",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYifQ.eyJpc3MiOiJqb2UiLCJzdWIiOiJzIn0.gA-fXEpuJyWt5hATHZLcmVC38vL7jGwwsE3p3HWfwCyvAIW-ysQ1817BKVfqBavzzTMrySa-bAuwNqQzfcmFhw",
    ),
    (
        "ES384",
        "eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQifQ.eyJpc3MiOiJqb2UiLCJzdWIiOiJzIn0.Hs_M0Mh8_q0aMFrQ1kFbuQoEfqVdbXBRzEgIGfFO969IsjkhBSWboWSoYRVpt6dZSyCVwxL69d2-IzBsmEokAHV37r7ELnXXvQT9Zaf0a800kor8MVG5WmFjAfZi3hWn",
    ),
];
