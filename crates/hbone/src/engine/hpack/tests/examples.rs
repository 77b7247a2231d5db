//! RFC 7541 appendix C.

use super::{DEFAULT_TABLE, Decoder, Fields, decode};
use crate::engine::hpack::{encode, huffman, integer};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

fn list(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// One block, what it says, and the table's entries and size after it.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], usize);

fn check(max_table: usize, examples: &[Example<'_>]) {
    let mut decoder = Decoder::new(max_table);
    for (block, fields, entries, size) in examples {
        assert_eq!(decode(&mut decoder, &bytes(block)).unwrap(), list(fields), "{block}");
        let table: Fields =
            decoder.table.entries().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(table, list(entries), "{block}");
        assert_eq!(decoder.table.size(), *size, "{block}");
    }
}

#[test]
fn c1_integers() {
    for (hex, prefix, value) in [("0a", 5, 10), ("1f9a0a", 5, 1337), ("2a", 8, 42)] {
        assert_eq!(integer::decode(&bytes(hex), prefix), Ok((value, &[][..])));
        let mut out = Vec::new();
        integer::encode(&mut out, 0, prefix, value);
        assert_eq!(out, bytes(hex));
    }
}

#[test]
fn c2_one_field() {
    let custom = [("custom-key", "custom-header")];
    check(
        DEFAULT_TABLE,
        &[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &custom, &custom, 55)],
    );
    check(DEFAULT_TABLE, &[("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], &[], 0)]);
    check(
        DEFAULT_TABLE,
        &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], &[], 0)],
    );
    check(DEFAULT_TABLE, &[("82", &[(":method", "GET")], &[], 0)]);
}

const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

#[test]
fn c3_and_c4_requests() {
    let first = [(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY];
    let second = [(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY, NO_CACHE];
    let third = [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), AUTHORITY, CUSTOM];
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        check(
            DEFAULT_TABLE,
            &[
                (blocks[0], &first, &[AUTHORITY], 57),
                (blocks[1], &second, &[NO_CACHE, AUTHORITY], 110),
                (blocks[2], &third, &[CUSTOM, NO_CACHE, AUTHORITY], 164),
            ],
        );
    }
}

#[test]
fn c5_and_c6_responses_that_evict() {
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let location = ("location", "https://www.example.com");
    let private = ("cache-control", "private");
    let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    let gzip = ("content-encoding", "gzip");
    for blocks in [
        [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
             3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
             7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
             6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ],
        [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
             1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
             e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    ] {
        check(
            256,
            &[
                (
                    blocks[0],
                    &[(":status", "302"), private, date, location],
                    &[location, date, private, (":status", "302")],
                    222,
                ),
                (
                    blocks[1],
                    &[(":status", "307"), private, date, location],
                    &[(":status", "307"), location, date, private],
                    222,
                ),
                (
                    blocks[2],
                    &[(":status", "200"), private, later, location, gzip, cookie],
                    &[cookie, gzip, later],
                    215,
                ),
            ],
        );
    }
}

#[test]
fn the_huffman_code_of_every_octet_survives() {
    let all: Vec<u8> = (0..=255).collect();
    let (mut coded, mut decoded) = (Vec::new(), Vec::new());
    huffman::encode(&all, &mut coded);
    huffman::decode(&coded, &mut decoded).unwrap();
    assert_eq!(decoded, all);
}

/// What Huffman coding would save, which is why [`encode`] leaves it out.
#[test]
fn a_connect_fits_one_packet_without_huffman() {
    let fields = [
        (":method", "CONNECT"),
        (":authority", "10.244.12.137:8080"),
        (
            "baggage",
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=bookinfo,k8s.deployment.name=productpage-v1,\
             service.name=productpage,service.version=v1,cloud.region=eu-central-1,\
             cloud.availability_zone=eu-central-1a",
        ),
        ("forwarded", "for=\"10.244.3.21:51234\";host=reviews.bookinfo.svc.cluster.local"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ];
    let (mut plain, mut coded) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        encode(&mut plain, name.as_bytes(), value.as_bytes());
        huffman::encode(value.as_bytes(), &mut coded);
    }
    let values: usize = fields.iter().map(|(_, value)| value.len()).sum();
    assert!(plain.len() < 1000, "{} bytes", plain.len());
    assert!(coded.len() * 100 > values * 65, "{} of {values} bytes", coded.len());
}
