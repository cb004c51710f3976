//! `/info`, the mini UAA, locks, resurrection.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Reply, Shared, Who, json_as_html, json_as_json, require_content_type};
use crate::director::auth::Need;
use crate::director::error::DirectorError;

/// `GET /info`: for everybody; says who called where that is known.
pub(super) async fn info(AxumState(api): Shared, headers: HeaderMap) -> Response {
    let config = &api.director.config;
    let authentication = match config.uaa_clients.is_empty() {
        true => json!({"type": "basic", "options": {}}),
        false => json!({"type": "uaa", "options": {"url": *api.uaa_url, "urls": [*api.uaa_url]}}),
    };
    json_as_json(&json!({
        "name": config.name,
        "uuid": api.director.uuid,
        "version": "283.1.6 (lab)",
        "user": api.director.caller(&headers).map(|caller| caller.name),
        "cpi": "lab_cpi",
        "stemcell_os": "lab",
        "stemcell_version": "1",
        "user_authentication": authentication,
        "features": {
            "local_dns": {"status": false, "extras": {"domain_name": "bosh"}},
            "snapshots": {"status": config.enable_snapshots},
            "config_server": {"status": true, "extras": {"urls": []}},
        },
    }))
}

/// `POST /oauth/token`: client credentials, and nothing else.
pub(super) async fn token(AxumState(api): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let form = String::from_utf8_lossy(&body);
    if !form.split('&').any(|pair| pair == "grant_type=client_credentials") {
        let text = json!({"error": "unsupported_grant_type", "error_description": "client_credentials only"});
        return (StatusCode::BAD_REQUEST, json_as_json(&text)).into_response();
    }
    match api.director.issue_token(&headers) {
        Some(token) => json_as_json(&json!({
            "access_token": token,
            "token_type": "bearer",
            "expires_in": api.director.config.token_validity.as_secs(),
        })),
        None => {
            let text = json!({"error": "unauthorized", "error_description": "Bad credentials"});
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")], json_as_json(&text))
                .into_response()
        }
    }
}

/// `GET /locks`.
pub(super) async fn locks(AxumState(api): Shared, Extension(caller): Who) -> Reply {
    api.director.authorize(&caller, Need::DirectorRead)?;
    let locks: Vec<Value> = api.director.read(|s| {
        let rows = s.locks.iter().map(|(name, row)| {
            let mut parts = name.splitn(3, ':').skip(1);
            let kind = parts.next().unwrap_or_default();
            let resource: Vec<&str> = parts.collect();
            json!({"type": kind, "resource": resource, "timeout": row.timeout(), "task_id": row.task.to_string()})
        });
        rows.collect()
    });
    Ok(json_as_json(&Value::Array(locks)))
}

/// `GET /resurrection`.
pub(super) async fn resurrection(AxumState(api): Shared, Extension(caller): Who) -> Reply {
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let paused = api.director.read(|s| s.resurrection_paused);
    Ok(json_as_html(&json!({"resurrection": !paused})))
}

/// `PUT /resurrection`.
pub(super) async fn set_resurrection(
    AxumState(api): Shared,
    Extension(caller): Who,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    require_content_type(&headers, "application/json", &uri)?;
    api.director.authorize(&caller, Need::DirectorAdmin)?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| DirectorError::generic(format!("Invalid JSON: {error}")))?;
    let paused = value["resurrection_paused"].as_bool().unwrap_or(false);
    api.director.write(|s| s.resurrection_paused = paused);
    Ok(StatusCode::OK.into_response())
}
