//! Which TCP segment does a frame carry?
//!
//! Formats: Ethernet II with 802.1Q tags, RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP). Offsets are checked;
//! a malformed or fragmented packet is simply no segment.

use std::net::{IpAddr, SocketAddr};

const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
const TCP: u8 = 6;

/// A TCP segment within a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The bytes of the stream that it carries; empty for a mere acknowledgement.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// Whether one of the ends has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.source.port() == port || self.destination.port() == port
    }
}

/// The TCP segment of an Ethernet frame; `None` when it carries something else.
pub fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    let mut kind = 12;
    while matches!(u16_at(frame, kind)?, 0x8100 | 0x88a8) {
        kind += VLAN_TAG;
    }
    let packet = frame.get(kind + ETHERNET - 12..)?;
    match u16_at(frame, kind)? {
        0x0800 => ipv4(packet),
        0x86dd => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Segment<'_>> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    // Neither more fragments nor an offset.
    let whole = u16_at(packet, 6)? & 0x3fff == 0;
    if first >> 4 != 4 || header < 20 || !whole || *packet.get(9)? != TCP {
        return None;
    }
    // Segmentation offload of very large packets leaves the length 0.
    let end = match usize::from(u16_at(packet, 2)?) {
        0 => packet.len(),
        length => length.min(packet.len()),
    };
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    tcp(source.into(), destination.into(), packet.get(header..end)?)
}

fn ipv6(packet: &[u8]) -> Option<Segment<'_>> {
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let end = match usize::from(u16_at(packet, 4)?) {
        0 => packet.len(),
        length => (40 + length).min(packet.len()),
    };
    let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
    let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
    let (mut next, mut offset) = (*packet.get(6)?, 40);
    // Hop-by-hop, routing and destination options; each moves on by at least 8 bytes.
    while matches!(next, 0 | 43 | 60) {
        next = *packet.get(offset)?;
        offset += 8 + 8 * usize::from(*packet.get(offset + 1)?);
    }
    (next == TCP).then_some(())?;
    tcp(source.into(), destination.into(), packet.get(offset..end)?)
}

fn tcp(source: IpAddr, destination: IpAddr, bytes: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(bytes.get(12)? >> 4) * 4;
    if header < 20 {
        return None;
    }
    Some(Segment {
        source: SocketAddr::new(source, u16_at(bytes, 0)?),
        destination: SocketAddr::new(destination, u16_at(bytes, 2)?),
        payload: bytes.get(header..)?,
    })
}

/// A number in network order.
fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..offset + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    fn tcp_bytes(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x90, 0x3a, 0xa0, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x18, 1, 0, 0, 0, 0, 0];
        bytes.extend([1, 1, 1, 1]);
        bytes.extend(payload);
        bytes
    }

    fn v4_frame(payload: &[u8]) -> Vec<u8> {
        let tcp = tcp_bytes(payload);
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + tcp.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(tcp);
        // Ethernet pads short frames.
        frame.extend([0xee; 6]);
        frame
    }

    fn v6_frame(payload: &[u8], options: bool) -> Vec<u8> {
        let tcp = tcp_bytes(payload);
        let extra: &[u8] = if options { &[6, 0, 1, 4, 0, 0, 0, 0] } else { &[] };
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(((extra.len() + tcp.len()) as u16).to_be_bytes());
        frame.extend([if options { 60 } else { 6 }, 64]);
        frame.extend("fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        frame.extend("fd00::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
        frame.extend(extra);
        frame.extend(tcp);
        frame
    }

    proptest! {
        #[test]
        fn the_payload_is_found(payload in prop::collection::vec(any::<u8>(), 0..300), options: bool, tags in 0..3usize) {
            for mut frame in [v4_frame(&payload), v6_frame(&payload, options)] {
                for _ in 0..tags {
                    frame.splice(12..12, [0x81, 0, 0, 7]);
                }
                let found = segment(&frame).unwrap();
                prop_assert_eq!(found.payload, payload.as_slice());
                prop_assert_eq!((found.source.port(), found.destination.port()), (8080, 15008));
                assert!(found.has_port(8080) && found.has_port(15008) && !found.has_port(80));
            }
        }

        #[test]
        fn any_bytes_are_survived(mut frame in prop::collection::vec(any::<u8>(), 0..120), kind in 0..3usize) {
            if let Some(bytes) = frame.get_mut(12..15) {
                bytes.copy_from_slice([&[8, 0, 0x45], &[0x86, 0xdd, 0x60], &[0x81, 0, 0]][kind]);
            }
            let length = frame.len();
            assert!(segment(&frame).is_none_or(|found| found.payload.len() < length));
        }

        #[test]
        fn a_cut_frame_is_survived(cut in 0..120usize) {
            let frame = v4_frame(b"marker");
            let _ = segment(&frame[..cut.min(frame.len())]);
        }
    }

    #[test]
    fn fragments_and_other_protocols_are_no_segments() {
        let mut fragment = v4_frame(b"x");
        fragment[14 + 6] = 0x20;
        assert_eq!(segment(&fragment), None);
        let mut udp = v4_frame(b"x");
        udp[14 + 9] = 17;
        assert_eq!(segment(&udp), None);
    }
}
