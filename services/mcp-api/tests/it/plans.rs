//! No route reads `events` sequentially.

use servers::testing::eventually;

use crate::statistics::loaded;

const RANGE: &str = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn no_route_scans_events() {
    let hub = loaded().await;
    // Sequential scans must not win because the tables are small.
    hub.psql(
        "do $$ begin execute format('alter database %I set enable_seqscan = off', current_database()); end $$",
    );
    // A server process counts its scans at its end at the latest; the next ones take over the setting above.
    let others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let scans = || {
        hub.psql(&format!("select pg_terminate_backend(pid) {others} and backend_type = 'client backend'"));
        eventually("answers over new connections", || {
            hub.call("GET", "/api/v1/statistics/overview", None).status == 200
        });
        hub.psql("select coalesce(sum(seq_scan), 0) from pg_stat_user_tables where relname like 'events%'")
    };
    let before = scans();
    for path in [
        "statistics/overview",
        "statistics/sessions",
        "statistics/threats",
        "statistics/sensors",
        "statistics/credentials",
        "statistics/commands",
        "statistics/downloads",
        "statistics/timeline",
        "sessions",
        "ips/203.0.113.7",
        "networks/203.0.113.0%2F24",
        "usernames/root",
        "commands/uname",
        "findings",
        "indicators",
    ] {
        hub.get(&format!("/api/v1/{path}?{RANGE}"));
    }
    hub.get("/api/v1/sessions/fra-1/aaaa0001");
    hub.get(&format!("/api/v1/search?q=root&{RANGE}"));
    assert_eq!(scans(), before);
}
