//! Which nf_tables steps is a rule made of?
//!
//! Byte order: marks, interface names and zones are the host's; ports and addresses the network's.

use std::net::IpAddr;

use super::super::{Action, Families, Mark, Match, Protocol, Rule};
use super::expression::{Expression, Value};
use crate::InterfaceName;

/// The one register we need.
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
const META_MARK: u32 = 3;
const META_INPUT_NAME: u32 = 6;
const META_OUTPUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const CT_MARK: u32 = 3;
const CT_ZONE: u32 = 17;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const NF_ACCEPT: i32 = 1;
const NFT_RETURN: i32 = -5;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`
const PORT_GIVEN: u32 = 2;

/// The steps of `rule`, in order.
pub(super) fn compile(rule: &Rule) -> Vec<Expression> {
    let mut steps = Vec::new();
    match rule.families {
        Families::Both => {}
        Families::V4 => steps.extend([meta(META_FAMILY), compare(true, &[libc::AF_INET as u8])]),
        Families::V6 => steps.extend([meta(META_FAMILY), compare(true, &[libc::AF_INET6 as u8])]),
    }
    for test in &rule.matches {
        compile_match(&mut steps, test);
    }
    steps.push(Expression::new("counter", []));
    compile_action(&mut steps, rule.action);
    steps
}

fn compile_match(steps: &mut Vec<Expression>, test: &Match) {
    match test {
        Match::Protocol(protocol) => {
            let number = match protocol {
                Protocol::Tcp => libc::IPPROTO_TCP,
                Protocol::Udp => libc::IPPROTO_UDP,
            };
            steps.extend([meta(META_PROTOCOL), compare(true, &[number as u8])]);
        }
        Match::Input(name) => steps.extend([meta(META_INPUT_NAME), compare(true, &padded(name))]),
        Match::Output(name, is) => steps.extend([meta(META_OUTPUT_NAME), compare(*is, &padded(name))]),
        Match::Source(address) => address_test(steps, *address, (12, 8), true),
        Match::Destination(address, is) => address_test(steps, *address, (16, 24), *is),
        Match::SourcePort(port) => {
            steps.extend([payload(TRANSPORT_HEADER, 0, 2), compare(true, &port.to_be_bytes())]);
        }
        Match::DestinationPort(port, is) => {
            steps.extend([payload(TRANSPORT_HEADER, 2, 2), compare(*is, &port.to_be_bytes())]);
        }
        Match::Mark(mark, is) => {
            steps.extend([meta(META_MARK), bits(mark.mask, 0), compare(*is, &mark.value.to_ne_bytes())]);
        }
        Match::ConnectionMark(mark) => {
            steps.extend([load_ct(CT_MARK), bits(mark.mask, 0), compare(true, &mark.value.to_ne_bytes())]);
        }
    }
}

fn compile_action(steps: &mut Vec<Expression>, action: Action) {
    match action {
        Action::Accept => steps.push(verdict(NF_ACCEPT)),
        Action::Return => steps.push(verdict(NFT_RETURN)),
        Action::Redirect(port) => {
            steps.push(immediate(&port.to_be_bytes()));
            let attributes = [(1, Value::Number(REGISTER)), (3, Value::Number(PORT_GIVEN))];
            steps.push(Expression::new("redir", attributes));
        }
        Action::SetConnectionMark(Mark { value, mask }) => {
            steps.extend([load_ct(CT_MARK), bits(!mask, value), store_ct(CT_MARK)]);
        }
        Action::RestoreMark => {
            let store = [(2, Value::Number(META_MARK)), (3, Value::Number(REGISTER))];
            steps.extend([load_ct(CT_MARK), Expression::new("meta", store)]);
        }
        Action::Zone(zone) => steps.extend([immediate(&zone.to_ne_bytes()), store_ct(CT_ZONE)]),
    }
}

/// `offsets`: where the address is in the IPv4 and in the IPv6 header.
fn address_test(steps: &mut Vec<Expression>, address: IpAddr, offsets: (u32, u32), is: bool) {
    match address {
        IpAddr::V4(v4) => steps.extend([payload(NETWORK_HEADER, offsets.0, 4), compare(is, &v4.octets())]),
        IpAddr::V6(v6) => steps.extend([payload(NETWORK_HEADER, offsets.1, 16), compare(is, &v6.octets())]),
    }
}

fn meta(key: u32) -> Expression {
    Expression::new("meta", [(1, Value::Number(REGISTER)), (2, Value::Number(key))])
}

fn load_ct(key: u32) -> Expression {
    Expression::new("ct", [(1, Value::Number(REGISTER)), (2, Value::Number(key))])
}

fn store_ct(key: u32) -> Expression {
    Expression::new("ct", [(2, Value::Number(key)), (4, Value::Number(REGISTER))])
}

fn payload(base: u32, offset: u32, length: u32) -> Expression {
    let numbers = [REGISTER, base, offset, length];
    Expression::new("payload", (1..).zip(numbers.map(Value::Number)))
}

fn compare(equal: bool, bytes: &[u8]) -> Expression {
    let operation = u32::from(!equal);
    let attributes =
        [(1, Value::Number(REGISTER)), (2, Value::Number(operation)), (3, Value::Data(bytes.to_vec()))];
    Expression::new("cmp", attributes)
}

/// Keeps the bits of `mask`, then flips those of `xor`.
fn bits(mask: u32, xor: u32) -> Expression {
    let attributes = [
        (1, Value::Number(REGISTER)),
        (2, Value::Number(REGISTER)),
        (3, Value::Number(4)),
        (4, Value::Data(mask.to_ne_bytes().to_vec())),
        (5, Value::Data(xor.to_ne_bytes().to_vec())),
    ];
    Expression::new("bitwise", attributes)
}

fn immediate(bytes: &[u8]) -> Expression {
    Expression::new("immediate", [(1, Value::Number(REGISTER)), (2, Value::Data(bytes.to_vec()))])
}

fn verdict(code: i32) -> Expression {
    Expression::new("immediate", [(1, Value::Number(VERDICT_REGISTER)), (2, Value::Verdict(code))])
}

/// The kernel compares names with their padding, so that `eth1` is not taken for `eth10`.
fn padded(name: &InterfaceName) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (target, byte) in bytes.iter_mut().zip(name.as_str().bytes()) {
        *target = byte;
    }
    bytes
}
