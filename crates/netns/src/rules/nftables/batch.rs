//! How is an nf_tables transaction written, sent and answered?

use super::super::{Chain, Rule, RuleError};
use super::compile::compile;
use super::{ChainForm, TABLE, chain_name};
use crate::netlink::{ACK, APPEND, CREATE, Failure, Message, Netlink, REQUEST};

/// `NFNL_SUBSYS_NFTABLES`
const SUBSYSTEM: u16 = 10;
/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
pub(super) const INET: u8 = 1;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
pub(super) const GET_TABLE: u16 = 1;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const GET_RULE: u16 = 7;
/// A rule's comment within its user data.
const COMMENT: u8 = 0;

/// A request's number within netfilter's netlink.
pub(super) fn kind(request: u16) -> u16 {
    SUBSYSTEM << 8 | request
}

/// `struct nfgenmsg`.
pub(super) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// A transaction in the making. Message `n` has sequence number `n` and `parts[n]` tells what it is.
pub(super) struct Batch {
    message: Message,
    parts: Vec<String>,
    /// Where the last message starts, and its flags: its acknowledgement will be asked for.
    last: (usize, u16),
}

impl Batch {
    pub(super) fn begin() -> Self {
        let mut message = Message::default();
        message.add(BATCH_BEGIN, REQUEST, 0, |m| m.raw(&header(0, SUBSYSTEM)));
        Self { message, parts: vec!["the transaction".to_owned()], last: (0, REQUEST) }
    }

    pub(super) fn add_table(&mut self) {
        self.add(NEW_TABLE, CREATE, format!("table inet {TABLE}"), |m| m.text(1, TABLE));
    }

    pub(super) fn delete_table(&mut self) {
        self.add(DELETE_TABLE, 0, format!("the old table inet {TABLE}"), |m| m.text(1, TABLE));
    }

    pub(super) fn add_chain(&mut self, chain: &Chain) {
        let form = ChainForm::of(chain);
        self.add(NEW_CHAIN, CREATE, format!("chain {}", chain_name(chain)), |m| {
            m.text(1, TABLE);
            m.text(3, &form.name);
            m.nest(4, |m| {
                m.network(1, form.hook);
                m.network(2, form.priority as u32);
            });
            m.network(5, form.policy);
            m.text(7, &form.kind);
        });
    }

    pub(super) fn add_rule(&mut self, chain: &str, rule: &Rule) {
        self.add(NEW_RULE, CREATE | APPEND, format!("rule \"{}\" of chain {chain}", rule.comment), |m| {
            m.text(1, TABLE);
            m.text(2, chain);
            m.nest(4, |m| {
                for expression in compile(rule) {
                    m.nest(1, |m| expression.encode(m));
                }
            });
            m.attribute(7, &user_data(rule.comment));
        });
    }

    fn add(&mut self, request: u16, flags: u16, part: String, fill: impl FnOnce(&mut Message)) {
        self.last = (self.message.bytes().len(), REQUEST | flags);
        let sequence = self.parts.len() as u32;
        self.parts.push(part);
        self.message.add(kind(request), REQUEST | flags, sequence, |m| {
            m.raw(&header(INET, 0));
            fill(m);
        });
    }

    /// Sends everything; the kernel takes all or nothing.
    pub(super) fn commit(mut self) -> Result<(), RuleError> {
        let sequence = self.parts.len() as u32;
        self.ask_acknowledgement();
        self.message.add(BATCH_END, REQUEST, sequence, |m| m.raw(&header(0, SUBSYSTEM)));
        self.send()
    }

    /// Sends everything but the end: the kernel checks all and changes nothing.
    pub(super) fn dry_run(mut self) -> Result<(), RuleError> {
        self.ask_acknowledgement();
        self.send()
    }

    fn ask_acknowledgement(&mut self) {
        let (start, flags) = self.last;
        self.message.set_flags(start, flags | ACK);
    }

    /// The first refusal counts; the kernel sends refusals in order, before the last message's acknowledgement, and a
    /// refusal of the whole instead of it.
    fn send(&self) -> Result<(), RuleError> {
        let netlink = open()?;
        netlink.send(self.message.bytes()).map_err(|e| self.refused(0, &e.into()))?;
        let last = self.parts.len() as u32 - 1;
        let (mut first, mut done) = (None, false);
        while !done {
            let received = netlink.receive(|answer| {
                let Some(outcome) = answer.outcome() else { return };
                done |= answer.sequence == last || (answer.sequence == 0 && outcome.is_err());
                if let (Err(failure), None) = (outcome, &first) {
                    first = Some((answer.sequence, failure));
                }
            });
            received.map_err(|e| self.refused(0, &e.into()))?;
        }
        match first {
            None => Ok(()),
            Some((sequence, failure)) => Err(self.refused(sequence, &failure)),
        }
    }

    fn refused(&self, sequence: u32, failure: &Failure) -> RuleError {
        match failure.errno() {
            libc::EPERM => RuleError::Denied,
            // The kernel has no nf_tables at all.
            libc::EOPNOTSUPP if sequence == 0 => unsupported(failure),
            _ => {
                let part = self.parts.get(sequence as usize).cloned().unwrap_or_default();
                RuleError::Refused { part, reason: failure.text() }
            }
        }
    }
}

/// A socket to netfilter in the current namespace.
pub(super) fn open() -> Result<Netlink, RuleError> {
    Netlink::open(libc::NETLINK_NETFILTER as isize).map_err(|e| unsupported(&e.into()))
}

/// The error of a read that failed.
pub(super) fn unreadable(failure: &Failure) -> RuleError {
    match failure.errno() {
        libc::EPERM => RuleError::Denied,
        _ => unsupported(failure),
    }
}

fn unsupported(failure: &Failure) -> RuleError {
    RuleError::Unsupported { backend: "nftables", reason: failure.text() }
}

/// The form in which `nft` stores a comment: type, length, text, NUL.
fn user_data(comment: &str) -> Vec<u8> {
    let mut data = vec![COMMENT, comment.len() as u8 + 1];
    data.extend_from_slice(comment.as_bytes());
    data.push(0);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The byte layout of one message, against the numbers of `<linux/netfilter/nfnetlink.h>`.
    #[test]
    fn the_first_message_opens_a_transaction_of_nf_tables() {
        let batch = Batch::begin();
        let [l0, l1, l2, l3] = 20u32.to_ne_bytes();
        let [k0, k1] = 0x10u16.to_ne_bytes();
        let [f0, f1] = 1u16.to_ne_bytes();
        let wanted = [l0, l1, l2, l3, k0, k1, f0, f1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10];
        assert_eq!(batch.message.bytes(), wanted);
    }
}
