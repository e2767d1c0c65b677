//! No route reads `events` sequentially.

use crate::statistics::loaded;

const RANGE: &str = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn no_route_scans_events() {
    let hub = loaded().await;
    // Sequential scans must not win because the tables are small.
    hub.psql(
        "do $$ begin execute format('alter database %I set enable_seqscan = off', current_database()); end $$",
    );
    let scans = || {
        hub.psql("select coalesce(sum(seq_scan), 0) from pg_stat_user_tables where relname like 'events%'")
    };
    let settled = || {
        hub.psql("select pg_sleep(1.2)");
        scans()
    };
    let before = settled();
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
    assert_eq!(settled(), before);
}
