//! A subject name copied from a certificate, so that what we sign names its issuer exactly.

use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{DistinguishedName, DnType, DnValue};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::x509::X509Name;

/// The name, or nothing when it holds what rcgen cannot write. Repeated attributes are lost: compare afterwards.
pub(super) fn copy(name: &X509Name<'_>) -> Option<DistinguishedName> {
    let mut copied = DistinguishedName::new();
    for attribute in name.iter_attributes() {
        let oid: Vec<u64> = attribute.attr_type().iter()?.collect();
        copied.push(DnType::from_oid(&oid), value(attribute.attr_value())?);
    }
    Some(copied)
}

fn value(value: &Any<'_>) -> Option<DnValue> {
    let text = || std::str::from_utf8(value.data).ok();
    Some(match value.tag() {
        Tag::Utf8String => DnValue::Utf8String(text()?.to_owned()),
        Tag::PrintableString => DnValue::PrintableString(PrintableString::try_from(text()?).ok()?),
        Tag::Ia5String => DnValue::Ia5String(Ia5String::try_from(text()?).ok()?),
        Tag::T61String => DnValue::TeletexString(TeletexString::try_from(text()?).ok()?),
        Tag::BmpString => DnValue::BmpString(BmpString::from_utf16be(value.data.to_vec()).ok()?),
        Tag::UniversalString => {
            DnValue::UniversalString(UniversalString::from_utf32be(value.data.to_vec()).ok()?)
        }
        _ => return None,
    })
}
