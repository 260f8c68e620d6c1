//! Every route of the API, and what all of them go through.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderName, HeaderValue, Method, Uri, header};
use syncline_engine::Engine;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer, trace::TraceLayer};

use crate::{
    access::*,
    collections::*,
    devices::*,
    directory::*,
    events::*,
    health::*,
    linger,
    metrics::show_metrics,
    nodes::*,
    observe, once, opamp, openapi,
    plugins::*,
    problem::{self, Problem},
    reports::*,
    runs::*,
    schedules::*,
    servers::*,
    state::{Api, ApiOptions},
    stores::*,
    syncs::*,
};

/// Most bytes of a JSON body.
const JSON_LIMIT: usize = 2 << 20;
/// Most bytes of a package.
const PACKAGE_LIMIT: usize = 32 << 20;

/// The whole API as a service. Cancel `options.stopping` before a graceful shutdown: open streams of events end then,
/// and the server can wait for the rest.
pub fn router(engine: Engine, options: ApiOptions) -> Router {
    let serve_metrics = options.serve_metrics;
    let api = Api::new(engine, options);
    let mut all = routes();
    if serve_metrics {
        all = all.get("/metrics", show_metrics);
    }
    dress(all, api.clone()).merge(dress_for_devices(api))
}

/// `/v1/opamp` alone, for a listener that devices reach. Give it the same options as [`router`].
pub fn device_router(engine: Engine, options: ApiOptions) -> Router {
    let api = Api::new(engine, options);
    dress(Routes::default(), api.clone()).merge(dress_for_devices(api))
}

/// `/metrics`, `/healthz` and `/readyz` alone, for a listener of their own. Give it the same options as [`router`].
pub fn metrics_router(engine: Engine, options: ApiOptions) -> Router {
    let routes =
        Routes::default().get("/metrics", show_metrics).get("/healthz", is_alive).get("/readyz", is_ready);
    dress(routes, Api::new(engine, options))
}

/// Who may call each is the first argument of its handler.
pub(crate) fn routes() -> Routes {
    of_directories(of_devices(Routes::default()))
        .get("/healthz", is_alive)
        .get("/readyz", is_ready)
        .get("/api/v1/openapi.json", openapi::show_document)
        .get("/api/v1/me", show_me)
        .get("/api/v1/nodes", list_nodes)
        // Plugins
        .package("/api/v1/plugins", install_plugin)
        .package("/api/v1/plugins/check", check_package)
        .get("/api/v1/plugins", list_plugins)
        .get("/api/v1/plugins/{name}", show_plugin)
        .put("/api/v1/plugins/{name}/grants", set_grants)
        .put("/api/v1/plugins/{name}/limits", set_limits)
        .post("/api/v1/plugins/{name}/enable", enable_plugin)
        .post("/api/v1/plugins/{name}/disable", disable_plugin)
        .post("/api/v1/plugins/{name}/rollback", roll_plugin_back)
        .delete("/api/v1/plugins/{name}", remove_plugin)
        // Stores
        .post_once("/api/v1/stores", create_store)
        .get("/api/v1/stores", list_stores)
        .get("/api/v1/stores/{name}", show_store)
        .patch("/api/v1/stores/{name}", change_store)
        .delete("/api/v1/stores/{name}", remove_store)
        .post("/api/v1/stores/{name}/adopt", adopt_store)
        // Distribution servers
        .post_once("/api/v1/distribution-servers", create_server)
        .get("/api/v1/distribution-servers", list_servers)
        .get("/api/v1/distribution-servers/{name}", show_server)
        .patch("/api/v1/distribution-servers/{name}", change_server)
        .delete("/api/v1/distribution-servers/{name}", remove_server)
        .post("/api/v1/distribution-servers/{name}/test", test_server)
        // Collections
        .post_once("/api/v1/collections", create_collection)
        .get("/api/v1/collections", list_collections)
        .get("/api/v1/collections/{name}", show_collection)
        .patch("/api/v1/collections/{name}", change_collection)
        .delete("/api/v1/collections/{name}", remove_collection)
        .post_once("/api/v1/collections/{name}/refresh", refresh_collection)
        // Syncs
        .post_once("/api/v1/syncs", create_sync)
        .get("/api/v1/syncs", list_syncs)
        .get("/api/v1/syncs/{name}", show_sync)
        .put("/api/v1/syncs/{name}", change_sync)
        .delete("/api/v1/syncs/{name}", remove_sync)
        .delete("/api/v1/syncs/{name}/cursor", clear_cursor)
        // Runs
        .post_once("/api/v1/syncs/{name}/runs", start_run)
        .get("/api/v1/syncs/{name}/runs", list_runs_of_sync)
        .get("/api/v1/runs", list_runs)
        .get("/api/v1/runs/{id}", show_run)
        .get("/api/v1/runs/{id}/operations", list_operations)
        .get("/api/v1/runs/{id}/log", read_log)
        .get("/api/v1/runs/{id}/attempts", list_attempts)
        .post_once("/api/v1/runs/{id}/approve", approve_run)
        .post_once("/api/v1/runs/{id}/reject", reject_run)
        .post_once("/api/v1/runs/{id}/cancel", cancel_run)
        .post_once("/api/v1/runs/{id}/retry", retry_run)
        // Schedules
        .post_once("/api/v1/schedules", create_schedule)
        .get("/api/v1/schedules", list_schedules)
        .get("/api/v1/schedules/{id}", show_schedule)
        .put("/api/v1/schedules/{id}", change_schedule)
        .delete("/api/v1/schedules/{id}", remove_schedule)
        .post("/api/v1/schedules/{id}/pause", pause_schedule)
        .post("/api/v1/schedules/{id}/resume", resume_schedule)
        .post_once("/api/v1/schedules/run", run_schedules)
        .post_once("/api/v1/schedules/{id}/run", run_schedule)
        .get("/api/v1/schedule-operations/{id}", show_schedule_operation)
        // Distribution servers
        .post("/api/v1/distribution-servers/report", report_servers)
        .post_once("/api/v1/distribution-servers/repair", repair_servers)
        // Events
        .get("/api/v1/events", list_events)
        .get("/api/v1/events/stream", follow_events)
        // Access
        .post("/api/v1/tokens", create_token)
        .get("/api/v1/tokens", list_tokens)
        .delete("/api/v1/tokens/{id}", remove_token)
        .post("/api/v1/secrets", create_secret)
        .get("/api/v1/secrets", list_secrets)
        .put("/api/v1/secrets/{name}", set_secret)
        .delete("/api/v1/secrets/{name}", remove_secret)
}

/// Devices, what they should hold, and who uses them.
fn of_devices(routes: Routes) -> Routes {
    routes
        .post("/api/v1/enrolment-tokens", create_enrolment_token)
        .get("/api/v1/enrolment-tokens", list_enrolment_tokens)
        .delete("/api/v1/enrolment-tokens/{id}", revoke_enrolment_token)
        .post_once("/api/v1/groups", create_group)
        .get("/api/v1/groups", list_groups)
        .get("/api/v1/groups/{name}", show_group)
        .patch("/api/v1/groups/{name}", change_group)
        .delete("/api/v1/groups/{name}", remove_group)
        .post_once("/api/v1/applications", create_application)
        .get("/api/v1/applications", list_applications)
        .get("/api/v1/applications/{name}", show_application)
        .put("/api/v1/applications/{name}", change_application)
        .delete("/api/v1/applications/{name}", remove_application)
        .post_once("/api/v1/policies", create_policy)
        .get("/api/v1/policies", list_policies)
        .get("/api/v1/policies/{id}", show_policy)
        .put("/api/v1/policies/{id}", change_policy)
        .delete("/api/v1/policies/{id}", remove_policy)
        .get("/api/v1/policies/{id}/versions", list_policy_versions)
        .get("/api/v1/policies/{id}/compare", compare_policy_versions)
        .post_once("/api/v1/policies/{id}/rollback", roll_policy_back)
        .post_once("/api/v1/selections", create_selection)
        .get("/api/v1/selections", list_selections)
        .get("/api/v1/selections/{name}", show_selection)
        .put("/api/v1/selections/{name}", change_selection)
        .delete("/api/v1/selections/{name}", remove_selection)
        .post("/api/v1/selections/{name}/run", run_selection)
        .post_once("/api/v1/devices", register_device)
        .get("/api/v1/devices", list_devices)
        .post_once("/api/v1/devices/sync", sync_devices)
        .post_once("/api/v1/devices/retry", retry_deliveries)
        .get("/api/v1/devices/{id}", show_device)
        .patch("/api/v1/devices/{id}", change_device)
        .post_once("/api/v1/devices/{id}/decommission", decommission_device)
        .post_once("/api/v1/devices/{id}/sync", sync_device)
        .get("/api/v1/devices/{id}/documents/{name}", explain_document)
        .get("/api/v1/devices/{id}/messages", list_messages)
        .get("/api/v1/devices/{id}/messages/{message}", show_message)
        .post_once("/api/v1/devices/{id}/messages", send_message)
        .post_once("/api/v1/server/sync", sync_server)
        .get("/api/v1/sync-operations/{id}", show_sync_operation)
        .get("/api/v1/sync-operations/{id}/devices", list_synced_devices)
        // Users and tasks
        .post_once("/api/v1/users", create_user)
        .post_once("/api/v1/users/import", import_users)
        .get("/api/v1/users", list_users)
        .get("/api/v1/users/{id}", show_user)
        .patch("/api/v1/users/{id}", change_user)
        .delete("/api/v1/users/{id}", remove_user)
        .post_once("/api/v1/users/{id}/subscription", issue_subscription)
        .delete("/api/v1/users/{id}/subscription", revoke_subscription)
        .post("/api/v1/users/{id}/activation-codes", create_activation_code)
        .get("/api/v1/users/{id}/activation-codes", list_activation_codes)
        .post_once("/api/v1/tasks", create_task)
        .get("/api/v1/tasks", list_tasks)
        .get("/api/v1/tasks/{id}", show_task)
        .get("/api/v1/tasks/{id}/devices", list_task_devices)
}

fn of_directories(routes: Routes) -> Routes {
    routes
        .post_once("/api/v1/directory-sources", create_directory_source)
        .get("/api/v1/directory-sources", list_directory_sources)
        .get("/api/v1/directory-sources/{name}", show_directory_source)
        .put("/api/v1/directory-sources/{name}", change_directory_source)
        .delete("/api/v1/directory-sources/{name}", remove_directory_source)
        .post("/api/v1/directory-sources/{name}/test", test_directory_source)
        .post_once("/api/v1/directory-sources/{name}/import", import_directory_source)
        .post_once("/api/v1/directory-imports", import_all_directories)
        .get("/api/v1/directory-entries", list_directory_entries)
        .get("/api/v1/directory-entries/{id}", show_directory_entry)
        .post("/api/v1/directory-entries/{id}/link", link_directory_entry)
        .post("/api/v1/directory-entries/{id}/unlink", unlink_directory_entry)
        .post("/api/v1/directory-entries/{id}/ignore", ignore_directory_entry)
        .post("/api/v1/directory-entries/{id}/unignore", unignore_directory_entry)
        .delete("/api/v1/directory-entries/{id}", delete_directory_entry)
        .get("/api/v1/syncs/{name}/rejections", list_rejections)
}

/// Routes, and a list of them: a router of axum does not tell what is in it.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Api>,
    /// Routes that go through [`once::once`]; a router of their own, because that needs the state.
    done_once: Router<Api>,
    listed: Vec<(Method, &'static str)>,
}

impl Routes {
    /// All routes added so far.
    #[cfg(test)]
    pub fn listed(&self) -> &[(Method, &'static str)] {
        &self.listed
    }

    pub fn get<T: 'static>(self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        self.add(Method::GET, path, on(MethodFilter::GET, handler))
    }

    fn put<T: 'static>(self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        self.add(Method::PUT, path, on(MethodFilter::PUT, handler))
    }

    fn patch<T: 'static>(self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        self.add(Method::PATCH, path, on(MethodFilter::PATCH, handler))
    }

    fn delete<T: 'static>(self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        self.add(Method::DELETE, path, on(MethodFilter::DELETE, handler))
    }

    fn post<T: 'static>(self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        self.add(Method::POST, path, on(MethodFilter::POST, handler))
    }

    /// A POST that honours `Idempotency-Key`.
    fn post_once<T: 'static>(mut self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        self.done_once = self.done_once.route(path, on(MethodFilter::POST, handler));
        self.listed.push((Method::POST, path));
        self
    }

    /// A POST that takes a package.
    fn package<T: 'static>(self, path: &'static str, handler: impl Handler<T, Api>) -> Self {
        let limited = on(MethodFilter::POST, handler).layer(DefaultBodyLimit::max(PACKAGE_LIMIT));
        self.add(Method::POST, path, limited)
    }

    fn add(mut self, method: Method, path: &'static str, route: MethodRouter<Api>) -> Self {
        self.router = self.router.route(path, route);
        self.listed.push((method, path));
        self
    }
}

/// What every request of a device goes through. Devices are many and say little: what people and browsers are given with
/// each answer would cost as much as the answer.
fn dress_for_devices(api: Api) -> Router {
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(api.clone(), observe::device))
        .layer(CatchPanicLayer::custom(problem::of_panic));
    opamp::routes().route_layer(layers).with_state(api)
}

/// What every request of people and programs goes through, from the outside in.
fn dress(routes: Routes, api: Api) -> Router {
    let done_once = routes.done_once.layer(from_fn_with_state(api.clone(), once::once));
    let router = routes.router.merge(done_once);
    let header = |name: HeaderName, value| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let layers = ServiceBuilder::new()
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::CACHE_CONTROL, "no-store"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(from_fn_with_state(api.clone(), observe::name_request))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(observe::span)
                .on_request(())
                .on_response(observe::answered)
                .on_failure(()),
        )
        .layer(from_fn_with_state(api.clone(), observe::count))
        .layer(from_fn(problem::answer_problems))
        .layer(from_fn(linger::read_rest))
        .layer(from_fn_with_state(api.clone(), observe::limit_time))
        .layer(CatchPanicLayer::custom(problem::of_panic))
        .layer(DefaultBodyLimit::max(JSON_LIMIT));
    router
        .fallback(async |uri: Uri| Problem::no_route(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| Problem::no_method(&method, uri.path()))
        .layer(layers)
        .with_state(api)
}
