//! The config server: makes the values of `variables:` once, and fills in `((name))`.
//!
//! A name that begins with `/` is shared by all deployments; any other belongs to its deployment. The
//! operator's own variables (`bosh deploy -v`) are filled in first and go before both.

use std::collections::BTreeMap;
use std::fmt;

use rcgen::ExtendedKeyUsagePurpose;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::certificates::{self, Certificate, CertificateRequest};
use super::error::{DirectorError, Result};
use super::ids::random_text;
use super::rsa::{self, RsaPair};

/// As long as the config server's.
const PASSWORD_LENGTH: usize = 30;
/// How long a certificate is good where `options.duration` does not say.
const VALID_DAYS: u16 = 365;

/// One entry of `variables:`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct VariableSpec {
    pub(crate) name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    options: CertificateOptions,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CertificateOptions {
    #[serde(default)]
    ca: Option<String>,
    #[serde(default)]
    is_ca: bool,
    #[serde(default)]
    common_name: String,
    #[serde(default)]
    alternative_names: Vec<String>,
    #[serde(default)]
    extended_key_usage: Vec<String>,
    /// In days.
    #[serde(default)]
    duration: Option<u16>,
}

/// What the config server keeps: full name → value.
#[derive(Default)]
pub(crate) struct VariableTable {
    values: BTreeMap<String, Stored>,
}

enum Stored {
    Password(String),
    Certificate(Box<Certificate>),
    Rsa(Box<RsaPair>),
}

impl fmt::Debug for VariableTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl VariableTable {
    /// Makes what `specs` ask for and is not there yet, in their order.
    pub(crate) fn generate(&mut self, deployment: &str, specs: &[VariableSpec]) -> Result<()> {
        for spec in specs {
            let name = full_name(deployment, &spec.name);
            if self.values.contains_key(&name) {
                continue;
            }
            let value = match spec.kind.as_str() {
                "password" => Stored::Password(random_text(PASSWORD_LENGTH)),
                "rsa" => Stored::Rsa(Box::new(
                    rsa::make().map_err(|problem| variable_error(&spec.name, &problem.to_string()))?,
                )),
                "certificate" => Stored::Certificate(Box::new(self.certificate(deployment, spec)?)),
                other => return Err(variable_error(&spec.name, &format!("the lab knows no type '{other}'"))),
            };
            self.values.insert(name, value);
        }
        Ok(())
    }

    fn certificate(&self, deployment: &str, spec: &VariableSpec) -> Result<Certificate> {
        let options = &spec.options;
        let issuer = match &options.ca {
            None if options.is_ca => None,
            None => return Err(variable_error(&spec.name, "options.ca is missing")),
            Some(ca) => match self.values.get(&full_name(deployment, ca)) {
                Some(Stored::Certificate(ca)) => Some(ca.as_ref()),
                _ => return Err(variable_error(&spec.name, &format!("the CA '{ca}' does not exist"))),
            },
        };
        let usages = options.extended_key_usage.iter().map(|usage| parse_usage(&spec.name, usage));
        let request = CertificateRequest {
            common_name: options.common_name.clone(),
            alternative_names: options.alternative_names.clone(),
            is_ca: options.is_ca,
            usages: usages.collect::<Result<_>>()?,
            valid_days: options.duration.unwrap_or(VALID_DAYS),
        };
        certificates::make(&request, issuer).map_err(|e| variable_error(&spec.name, &e.to_string()))
    }

    /// The value of `name` as deployment `deployment` sees it.
    pub(crate) fn value(&self, deployment: &str, name: &str) -> Option<Value> {
        Some(match self.values.get(&full_name(deployment, name))? {
            Stored::Password(text) => Value::String(text.clone()),
            Stored::Rsa(pair) => {
                json!({"public_key": pair.public_key, "private_key": pair.private_key.reveal()})
            }
            Stored::Certificate(certificate) => json!({
                "ca": certificate.ca_pem,
                "certificate": certificate.pem,
                "private_key": certificate.key_pem.reveal(),
            }),
        })
    }
}

/// `ssl` → `/lab/<deployment>/ssl`; what begins with `/` stays.
fn full_name(deployment: &str, name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/lab/{deployment}/{name}") }
}

fn parse_usage(variable: &str, usage: &str) -> Result<ExtendedKeyUsagePurpose> {
    match usage {
        "server_auth" => Ok(ExtendedKeyUsagePurpose::ServerAuth),
        "client_auth" => Ok(ExtendedKeyUsagePurpose::ClientAuth),
        other => Err(variable_error(variable, &format!("extended_key_usage '{other}' is unknown"))),
    }
}

fn variable_error(name: &str, problem: &str) -> DirectorError {
    DirectorError::new(540_006, format!("Failed to generate variable '{name}': {problem}"))
}

/// A manifest with the operator's variables filled in, as `bosh deploy -v` does it before it sends the
/// manifest. What `variables` does not hold stays for the config server. The answer is JSON, and so YAML.
///
/// # Errors
/// The manifest is no YAML.
pub fn fill_in(manifest: &str, variables: &BTreeMap<String, Value>) -> std::result::Result<String, NotYaml> {
    let mut value: Value = serde_saphyr::from_str(manifest).map_err(|error| NotYaml(error.to_string()))?;
    interpolate(&mut value, &|name| variables.get(name).cloned());
    Ok(value.to_string())
}

/// A manifest that is no YAML.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the manifest is no YAML: {0}")]
pub struct NotYaml(String);

/// Fills in every `((name))` and `((name.key))` in `value`. `look_up` answers a name's whole value;
/// the names it does not know come back.
pub(crate) fn interpolate(value: &mut Value, look_up: &dyn Fn(&str) -> Option<Value>) -> Vec<String> {
    let mut missing = Vec::new();
    fill(value, look_up, &mut missing);
    missing.sort();
    missing.dedup();
    missing
}

fn fill(value: &mut Value, look_up: &dyn Fn(&str) -> Option<Value>, missing: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            if let Some(filled) = fill_text(text, look_up, missing) {
                *value = filled;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, look_up, missing)),
        Value::Object(entries) => {
            let filled = std::mem::take(entries).into_iter().map(|(key, mut item)| {
                fill(&mut item, look_up, missing);
                let key = match fill_text(&key, look_up, missing) {
                    Some(Value::String(text)) => text,
                    _ => key,
                };
                (key, item)
            });
            *entries = filled.collect::<Map<_, _>>();
        }
        _ => {}
    }
}

/// A text that is one placeholder takes the value as it is; otherwise each is written into the text.
fn fill_text(
    text: &str,
    look_up: &dyn Fn(&str) -> Option<Value>,
    missing: &mut Vec<String>,
) -> Option<Value> {
    let (first, _) = placeholder(text, 0)?;
    if text == format!("(({first}))") {
        return resolve(first, look_up, missing);
    }
    let mut out = String::new();
    let mut at = 0;
    while let Some((name, start)) = placeholder(text, at) {
        out.push_str(&text[at..start]);
        at = start + name.len() + 4;
        match resolve(name, look_up, missing) {
            Some(Value::String(value)) => out.push_str(&value),
            Some(value) => out.push_str(&value.to_string()),
            None => out.push_str(&text[start..at]),
        }
    }
    out.push_str(&text[at..]);
    Some(Value::String(out))
}

/// The next `((name))` at or after `from`: its name and where it begins.
fn placeholder(text: &str, from: usize) -> Option<(&str, usize)> {
    let start = from + text[from..].find("((")?;
    let end = start + text[start..].find("))")?;
    let name = &text[start + 2..end];
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'!');
    if !name.is_empty() && name.bytes().all(fits) {
        Some((name, start))
    } else {
        placeholder(text, start + 2)
    }
}

fn resolve(
    placeholder: &str,
    look_up: &dyn Fn(&str) -> Option<Value>,
    missing: &mut Vec<String>,
) -> Option<Value> {
    let mut keys = placeholder.trim_start_matches('!').split('.');
    let value = keys.next().and_then(look_up);
    let value = keys.fold(value, |value, key| value?.get(key).cloned());
    if value.is_none() {
        missing.push(placeholder.to_owned());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(yaml: &str) -> Vec<VariableSpec> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_certificate_is_signed_by_the_ca_it_names_and_made_once() {
        let mut table = VariableTable::default();
        let specs = specs(
            "- {name: /ca, type: certificate, options: {is_ca: true, common_name: ca}}\n\
             - {name: tls, type: certificate, options: {ca: /ca, common_name: a, alternative_names: [a, 127.0.0.1], \
               extended_key_usage: [server_auth, client_auth]}}\n\
             - {name: pw, type: password}\n\
             - {name: keys, type: rsa}\n",
        );
        table.generate("one", &specs).unwrap();
        table.generate("two", &specs).unwrap();
        let ca = table.value("one", "/ca").unwrap();
        let one = table.value("one", "tls").unwrap();
        assert_eq!(one["ca"], ca["certificate"]);
        assert_eq!(table.value("two", "/ca").unwrap(), ca);
        assert_ne!(table.value("two", "tls").unwrap()["certificate"], one["certificate"]);
        let password = table.value("one", "pw").unwrap();
        table.generate("one", &specs).unwrap();
        assert_eq!(table.value("one", "pw").unwrap(), password);
        assert!(one["private_key"].as_str().unwrap().contains("PRIVATE KEY"));
        let keys = table.value("one", "keys").unwrap();
        assert!(keys["private_key"].as_str().unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        assert!(keys["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    }

    #[test]
    fn a_whole_placeholder_keeps_its_structure_and_a_part_becomes_text() {
        let values = json!({"store": {"type": "fs"}, "port": 5432, "tls": {"ca": "PEM"}});
        let look_up = |name: &str| values.get(name).cloned();
        let mut value =
            json!({"a": "((store))", "b": "x((port))y((tls.ca))", "c": ["((none))"], "d": "(( odd"});
        let missing = interpolate(&mut value, &look_up);
        assert_eq!(value, json!({"a": {"type": "fs"}, "b": "x5432yPEM", "c": ["((none))"], "d": "(( odd"}));
        assert_eq!(missing, ["none"]);
    }

    #[test]
    fn an_unknown_ca_is_refused_by_name() {
        let specs = specs("[{name: tls, type: certificate, options: {ca: nope, common_name: a}}]");
        let error = VariableTable::default().generate("d", &specs).unwrap_err();
        assert!(error.message.contains("'nope'"), "{error}");
    }
}
