//! X.509 for the config server's `certificate` variables and for the Director's own door.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use super::config::Secret;

/// What a certificate is to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateRequest {
    pub(crate) common_name: String,
    pub(crate) alternative_names: Vec<String>,
    pub(crate) is_ca: bool,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) valid_days: u16,
}

/// A certificate with its key, as PEM, and what it takes to sign others with it.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key_pem: Secret,
    /// The certificate of who signed it; its own where it signed itself.
    pub(crate) ca_pem: String,
    params: CertificateParams,
}

/// Makes a certificate, signed by `issuer` or by itself.
pub(crate) fn make(
    request: &CertificateRequest,
    issuer: Option<&Certificate>,
) -> Result<Certificate, rcgen::Error> {
    let key = KeyPair::generate()?;
    let params = params(request)?;
    let pem = match issuer {
        Some(ca) => {
            let ca_key = KeyPair::from_pem(ca.key_pem.reveal())?;
            params.signed_by(&key, &Issuer::from_params(&ca.params, ca_key))?.pem()
        }
        None => params.self_signed(&key)?.pem(),
    };
    let ca_pem = issuer.map_or_else(|| pem.clone(), |ca| ca.pem.clone());
    Ok(Certificate { pem, key_pem: Secret::new(key.serialize_pem()), ca_pem, params })
}

fn params(request: &CertificateRequest) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(request.alternative_names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, request.common_name.as_str());
    params.extended_key_usages = request.usages.clone();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if request.is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    // A day early for clocks that lag behind, a day late as only whole days are written.
    let day = |date: Date| {
        let part = |number: i8| number.unsigned_abs();
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add((i32::from(request.valid_days) + 1).days()));
    Ok(params)
}
