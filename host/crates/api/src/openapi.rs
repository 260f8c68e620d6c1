//! The document that describes the API to programs, from what stands at each handler.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    access, collections, devices, directory, events, health, metrics, nodes, plugins, problem::Problem,
    reports, runs, schedules, servers, stores, syncs,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Syncline",
        description = "Keeps many places the same as one intended state, as plugins in a sandbox declare it.\n\n\
            Lists answer `{\"items\": […], \"next\": …}`: give `next` as `after` for the next page. What can be edited \
            carries an `ETag`; a change with `If-Match` is refused with 412 if it was changed meanwhile. POSTs that make \
            or start something honour `Idempotency-Key` for a day. Anything that goes wrong is answered as \
            `application/problem+json`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        health::is_alive,
        health::is_ready,
        metrics::show_metrics,
        show_document,
        access::show_me,
        nodes::list_nodes,
        plugins::install_plugin,
        plugins::check_package,
        plugins::list_plugins,
        plugins::show_plugin,
        plugins::set_grants,
        plugins::set_limits,
        plugins::enable_plugin,
        plugins::disable_plugin,
        plugins::roll_plugin_back,
        plugins::remove_plugin,
        stores::create_store,
        stores::list_stores,
        stores::show_store,
        stores::change_store,
        stores::remove_store,
        stores::adopt_store,
        servers::create_server,
        servers::list_servers,
        servers::show_server,
        servers::change_server,
        servers::remove_server,
        servers::test_server,
        collections::create_collection,
        collections::list_collections,
        collections::show_collection,
        collections::change_collection,
        collections::remove_collection,
        collections::refresh_collection,
        syncs::create_sync,
        syncs::list_syncs,
        syncs::show_sync,
        syncs::change_sync,
        syncs::remove_sync,
        syncs::clear_cursor,
        runs::start_run,
        runs::list_runs_of_sync,
        runs::list_runs,
        runs::show_run,
        runs::list_operations,
        runs::read_log,
        runs::list_attempts,
        runs::approve_run,
        runs::reject_run,
        runs::cancel_run,
        runs::retry_run,
        schedules::create_schedule,
        schedules::list_schedules,
        schedules::show_schedule,
        schedules::change_schedule,
        schedules::remove_schedule,
        schedules::pause_schedule,
        schedules::resume_schedule,
        schedules::run_schedules,
        schedules::run_schedule,
        schedules::show_schedule_operation,
        devices::create_enrolment_token,
        devices::list_enrolment_tokens,
        devices::revoke_enrolment_token,
        devices::create_group,
        devices::list_groups,
        devices::show_group,
        devices::change_group,
        devices::remove_group,
        devices::create_application,
        devices::list_applications,
        devices::show_application,
        devices::change_application,
        devices::remove_application,
        devices::create_policy,
        devices::list_policies,
        devices::show_policy,
        devices::change_policy,
        devices::remove_policy,
        devices::list_policy_versions,
        devices::compare_policy_versions,
        devices::roll_policy_back,
        devices::create_selection,
        devices::list_selections,
        devices::show_selection,
        devices::change_selection,
        devices::remove_selection,
        devices::run_selection,
        devices::register_device,
        devices::list_devices,
        devices::sync_devices,
        devices::retry_deliveries,
        devices::show_device,
        devices::change_device,
        devices::decommission_device,
        devices::sync_device,
        devices::explain_document,
        devices::list_messages,
        devices::show_message,
        devices::send_message,
        devices::create_user,
        devices::import_users,
        devices::list_users,
        devices::show_user,
        devices::change_user,
        devices::remove_user,
        devices::issue_subscription,
        devices::revoke_subscription,
        devices::create_activation_code,
        devices::list_activation_codes,
        devices::create_task,
        devices::list_tasks,
        devices::show_task,
        devices::list_task_devices,
        devices::sync_server,
        devices::show_sync_operation,
        devices::list_synced_devices,
        directory::create_directory_source,
        directory::list_directory_sources,
        directory::show_directory_source,
        directory::change_directory_source,
        directory::remove_directory_source,
        directory::test_directory_source,
        directory::import_directory_source,
        directory::import_all_directories,
        directory::list_directory_entries,
        directory::show_directory_entry,
        directory::link_directory_entry,
        directory::unlink_directory_entry,
        directory::ignore_directory_entry,
        directory::unignore_directory_entry,
        directory::delete_directory_entry,
        directory::list_rejections,
        reports::report_servers,
        reports::repair_servers,
        events::list_events,
        events::follow_events,
        access::create_token,
        access::list_tokens,
        access::remove_token,
        access::create_secret,
        access::list_secrets,
        access::set_secret,
        access::remove_secret,
    ),
    components(schemas(Problem)),
    modifiers(&TokenScheme, &Refusals),
    tags(
        (name = "plugins", description = "Packages that say what should be, and what they may do"),
        (name = "stores", description = "Places with files"),
        (name = "distribution-servers", description = "Stores that are kept up to date from the library"),
        (name = "collections", description = "Named parts of the library"),
        (name = "syncs", description = "Plugins with settings, sources and targets"),
        (name = "runs", description = "Executions of syncs: previews, changes, what became of each"),
        (name = "schedules", description = "When syncs run by themselves"),
        (name = "devices", description = "Devices, what they should hold, and what became of it"),
        (name = "directories", description = "People, groups, computers and units, and where they are read from"),
        (name = "distribution servers", description = "What servers should hold and do not"),
        (name = "events", description = "What happened, and who did it"),
        (name = "access", description = "Tokens and secrets"),
        (name = "server", description = "The server itself"),
    ),
)]
struct Document;

/// Tokens, whose role stands at each operation.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description = "A token. The word at each operation is the least role that it needs: `viewer`, `operator` \
            or `admin`, each of which includes those before it.";
        let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(http));
    }
}

/// What every operation can answer besides.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            for operation in operations(item) {
                let needs_token = operation.security.is_some();
                let mut add = |status: &str, description: &str| {
                    let content = Content::new(Some(Ref::from_schema_name("Problem")));
                    let response =
                        ResponseBuilder::new().description(description).content(Problem::MEDIA_TYPE, content);
                    let responses = &mut operation.responses.responses;
                    responses.entry(status.to_owned()).or_insert(RefOr::T(response.build()));
                };
                if needs_token {
                    add("401", "No token, or one that is unknown, expired or revoked");
                    add("403", "The token's role does not allow this");
                }
                add("default", "What went wrong, and what to do");
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// The OpenAPI document of this version.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document
}

static JSON: LazyLock<Result<Bytes, String>> =
    LazyLock::new(|| document().to_json().map(Bytes::from).map_err(|error| error.to_string()));

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(crate) async fn show_document() -> Response {
    match &*JSON {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json.clone()).into_response(),
        Err(error) => Problem::internal(error.clone()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_route_is_documented_and_each_documented_route_is_there() {
        let served: BTreeSet<(String, String)> = crate::router::routes()
            .get("/metrics", metrics::show_metrics)
            .listed()
            .iter()
            .map(|(method, path)| (method.to_string(), (*path).to_owned()))
            .collect();
        let json = serde_json::to_value(document()).unwrap();
        let documented: BTreeSet<(String, String)> = json["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        assert_eq!(served, documented);
    }
}
