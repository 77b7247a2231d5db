//! Is the policy routing of the rules in place, and how is it put there and taken away?

use super::renderer::{Applied, Drift, Skipped};
use super::{Routing, RuleError};
use crate::links::Links;
use crate::netlink::{Attributes, CREATE, EXCL, Failure, Message, Netlink, u32_at};
use crate::sysctl;

const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
/// `FR_ACT_TO_TBL`: look the destination up in a table.
const TO_TABLE: u8 = 1;
/// `FIB_RULE_INVERT` (2), and source or destination prefixes, would change a rule's meaning.
const RULE_FLAGS: u32 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_TABLE: u16 = 15;
/// Loopback has this number in every namespace.
const LOOPBACK: u32 = 1;

/// One address family, by the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Family(u8);

impl Family {
    const V4: Self = Self(libc::AF_INET as u8);
    const V6: Self = Self(libc::AF_INET6 as u8);

    fn wanted(self, routing: &Routing) -> bool {
        if self == Self::V4 { routing.families.v4() } else { routing.families.v6() }
    }

    fn name(self) -> &'static str {
        if self == Self::V4 { "IPv4" } else { "IPv6" }
    }
}

/// What is known about a rule or route of the kernel that could be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Ours,
    Other,
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Brings the policy routing to exactly `routing`; what is there already is kept.
pub(super) fn apply(routing: &Routing) -> Result<Applied, RuleError> {
    let mut netlink = open()?;
    let mut applied = Applied { loopback_raised: raise_loopback()?, ..Applied::default() };
    let mut usable = Vec::new();
    for family in FAMILIES.into_iter().filter(|family| family.wanted(routing)) {
        if family == Family::V6 && !sysctl::ipv6_enabled() {
            applied.skipped.push(Skipped::Ipv6Disabled);
        } else {
            usable.push(family);
        }
    }
    // All checks before the first change.
    let mut missing = Vec::new();
    for family in &usable {
        match routes(&mut netlink, routing, *family)?.as_slice() {
            [] => missing.push(*family),
            found if found.contains(&Found::Ours) => {}
            _ => return Err(RuleError::RouteTaken { table: routing.table, family: family.name() }),
        }
    }
    // Routes first: a rule must not point to an empty table.
    for family in missing {
        change(&mut netlink, "add the local route", libc::RTM_NEWROUTE, |m| route(m, routing, family))?;
    }
    for family in usable {
        if !rules(&mut netlink, routing, family)?.contains(&Found::Ours) {
            change(&mut netlink, "add the routing rule", libc::RTM_NEWRULE, |m| rule(m, routing, family))?;
        }
    }
    for family in FAMILIES.into_iter().filter(|family| !family.wanted(routing)) {
        remove_family(&mut netlink, routing, family)?;
    }
    Ok(applied)
}

/// What of the policy routing is not as it should be.
pub(super) fn verify(routing: &Routing) -> Result<Vec<Drift>, RuleError> {
    let mut netlink = open()?;
    let mut drifts = Vec::new();
    for family in FAMILIES {
        let name = family.name();
        let rule = format!(
            "{name} routing rule {}: fwmark {:#x}/{:#x} lookup {}",
            routing.preference, routing.mark.value, routing.mark.mask, routing.table
        );
        let route = format!("{name} local default route on lo in table {}", routing.table);
        let found =
            [(rules(&mut netlink, routing, family)?, rule), (routes(&mut netlink, routing, family)?, route)];
        if !family.wanted(routing) {
            let ours = found.into_iter().filter(|(found, _)| found.contains(&Found::Ours));
            drifts.extend(ours.map(|(_, what)| Drift::Unexpected(what)));
        } else if family == Family::V4 || sysctl::ipv6_enabled() {
            drifts.extend(found.into_iter().filter_map(|(found, what)| drift(&found, what)));
        }
    }
    Ok(drifts)
}

fn drift(found: &[Found], what: String) -> Option<Drift> {
    if found.contains(&Found::Ours) {
        None
    } else if found.is_empty() {
        Some(Drift::Missing(what))
    } else {
        Some(Drift::Altered(what))
    }
}

/// Takes our rules, then our routes away, of both families; all may be gone already.
pub(super) fn remove(routing: &Routing) -> Result<(), RuleError> {
    let mut netlink = open()?;
    FAMILIES.into_iter().try_for_each(|family| remove_family(&mut netlink, routing, family))
}

fn remove_family(netlink: &mut Netlink, routing: &Routing, family: Family) -> Result<(), RuleError> {
    if rules(netlink, routing, family)?.contains(&Found::Ours) {
        change(netlink, "delete the routing rule", libc::RTM_DELRULE, |m| rule(m, routing, family))?;
    }
    if routes(netlink, routing, family)?.contains(&Found::Ours) {
        change(netlink, "delete the local route", libc::RTM_DELROUTE, |m| route(m, routing, family))?;
    }
    Ok(())
}

fn open() -> Result<Netlink, RuleError> {
    Netlink::open(libc::NETLINK_ROUTE as isize).map_err(|e| refused("open rtnetlink", e.into()))
}

fn raise_loopback() -> Result<bool, RuleError> {
    let mut links = Links::current().map_err(RuleError::Loopback)?;
    let down = links.list().map_err(RuleError::Loopback)?.iter().any(|l| l.index == LOOPBACK && !l.up);
    if down {
        links.up("lo").map_err(|error| match error {
            crate::links::LinkError::Denied { .. } => RuleError::Denied,
            other => RuleError::Loopback(other),
        })?;
    }
    Ok(down)
}

fn rule(message: &mut Message, routing: &Routing, family: Family) {
    message.raw(&[family.0, 0, 0, 0, short_table(routing.table), 0, 0, TO_TABLE, 0, 0, 0, 0]);
    message.number(FRA_PRIORITY, routing.preference);
    message.number(FRA_FWMARK, routing.mark.value);
    message.number(FRA_FWMASK, routing.mark.mask);
    message.number(FRA_TABLE, routing.table);
}

fn route(message: &mut Message, routing: &Routing, family: Family) {
    // `ip route add local default dev lo table N`
    let (protocol, scope, kind) = (libc::RTPROT_BOOT, libc::RT_SCOPE_HOST, libc::RTN_LOCAL);
    message.raw(&[family.0, 0, 0, 0, short_table(routing.table), protocol, scope, kind, 0, 0, 0, 0]);
    message.number(RTA_OIF, LOOPBACK);
    message.number(RTA_TABLE, routing.table);
}

/// The header's one byte for the table; the attribute holds the whole number.
fn short_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(libc::RT_TABLE_UNSPEC)
}

/// The kernel's rules at our place, or with our mark and table.
fn rules(netlink: &mut Netlink, routing: &Routing, family: Family) -> Result<Vec<Found>, RuleError> {
    let header = [family.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let parse = |_, body: &[u8]| {
        let attributes = Attributes::new(body.get(12..)?);
        let here =
            body.first() == Some(&family.0) && attributes.number(FRA_PRIORITY) == Some(routing.preference);
        let ours = body.get(1..3) == Some(&[0, 0])
            && body.get(7) == Some(&TO_TABLE)
            && u32_at(body, 8)? & RULE_FLAGS == 0
            && attributes.number(FRA_FWMARK) == Some(routing.mark.value)
            && attributes.number(FRA_FWMASK) == Some(routing.mark.mask)
            && attributes.number(FRA_TABLE) == Some(routing.table)
            && !narrowed(attributes);
        here.then_some(if ours { Found::Ours } else { Found::Other })
    };
    netlink
        .dump(libc::RTM_GETRULE, |m| m.raw(&header), parse)
        .or_else(absent_family)
        .map_err(|failure| refused("list the routing rules", failure))
}

/// Whether a routing rule asks for more than the mark, or takes only a part of the table's routes.
fn narrowed(attributes: Attributes<'_>) -> bool {
    // Destination, source, interfaces, tunnel id, interface group, l3mdev, users, protocol, ports, DSCP.
    const NARROWING: [u16; 12] = [1, 2, 3, 12, 13, 17, 19, 20, 22, 23, 24, 25];
    const SUPPRESS_PREFIX_LENGTH: u16 = 14;
    attributes.number(SUPPRESS_PREFIX_LENGTH).is_some_and(|length| length != u32::MAX)
        || attributes.into_iter().any(|(kind, _)| NARROWING.contains(&kind))
}

/// The default routes of our table.
fn routes(netlink: &mut Netlink, routing: &Routing, family: Family) -> Result<Vec<Found>, RuleError> {
    let header = [family.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let parse = |_, body: &[u8]| {
        let attributes = Attributes::new(body.get(12..)?);
        let here = body.first() == Some(&family.0)
            && body.get(1) == Some(&0)
            && attributes.value(RTA_DST).is_none()
            && attributes.number(RTA_TABLE) == Some(routing.table);
        let ours = body.get(7) == Some(&libc::RTN_LOCAL) && attributes.number(RTA_OIF) == Some(LOOPBACK);
        here.then_some(if ours { Found::Ours } else { Found::Other })
    };
    netlink
        .dump(libc::RTM_GETROUTE, |m| m.raw(&header), parse)
        .or_else(absent_family)
        .map_err(|failure| refused("list the routes", failure))
}

/// A kernel without IPv6 has none of its rules and routes.
fn absent_family(failure: Failure) -> Result<Vec<Found>, Failure> {
    match failure.errno() {
        libc::EAFNOSUPPORT | libc::EOPNOTSUPP => Ok(Vec::new()),
        _ => Err(failure),
    }
}

fn change(
    netlink: &mut Netlink,
    action: &str,
    kind: u16,
    fill: impl FnOnce(&mut Message),
) -> Result<(), RuleError> {
    let flags = if matches!(kind, libc::RTM_NEWRULE | libc::RTM_NEWROUTE) { CREATE | EXCL } else { 0 };
    match netlink.request(kind, flags, fill) {
        Ok(()) => Ok(()),
        // Somebody was faster: the wanted state is there.
        Err(failure) if flags == 0 && matches!(failure.errno(), libc::ENOENT | libc::ESRCH) => Ok(()),
        Err(failure) => Err(refused(action, failure)),
    }
}

fn refused(action: &str, failure: Failure) -> RuleError {
    match failure.errno() {
        libc::EPERM => RuleError::Denied,
        _ => RuleError::Routing { action: action.to_owned(), reason: failure.text() },
    }
}
