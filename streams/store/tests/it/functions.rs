//! `functions/` has the definition in force of every function and view that a migration redefined.

use std::{collections::BTreeMap, fs, path::Path};

use servers::testing::{Backend, directory, psql};
use store::{Store, StoreArgs};

fn read(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "sql"));
    files
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// A query for the definitions of functions and views of this name.
fn definitions(name: &str) -> String {
    format!(
        "select pg_get_functiondef(oid) from pg_proc
            where pronamespace = 'public'::regnamespace and prokind = 'f' and proname = '{name}'
        union all select viewname || definition from pg_views where schemaname = 'public' and viewname = '{name}'
        order by 1"
    )
}

/// The names that migrations define, each with the number of its definitions.
fn defined() -> BTreeMap<String, usize> {
    let mut defined = BTreeMap::new();
    for line in read("migrations").values().flat_map(|text| text.lines()) {
        let line = line.strip_prefix("create ").map(|line| line.strip_prefix("or replace ").unwrap_or(line));
        let name = line.and_then(|line| line.strip_prefix("function ").or(line.strip_prefix("view ")));
        if let Some(name) = name.and_then(|name| name.split(['(', ' ']).next()) {
            *defined.entry(name.to_owned()).or_default() += 1;
        }
    }
    defined
}

#[tokio::test(flavor = "multi_thread")]
async fn what_migrations_redefined_is_in_one_file_as_it_is_in_force() {
    let directory = directory();
    let postgres = Backend::postgres(&directory.path().join("p")).await;
    let args = StoreArgs { database_url: Some(postgres.url()), database_connections: 2 };
    Store::connect(&args).await.unwrap().migrate().await.unwrap();

    let files = read("functions");
    for (name, text) in &files {
        let query = definitions(name);
        let in_force = psql(&postgres.url(), &query);
        assert!(!in_force.is_empty(), "functions/{name}.sql: there is no such function or view");
        let of_file = psql(&postgres.url(), &format!("begin; {text}; {query}; rollback"));
        assert_eq!(of_file, in_force, "functions/{name}.sql is not what the migrations made");
    }
    for (name, count) in defined() {
        let in_force = psql(&postgres.url(), &format!("select count(*) from ({}) d", definitions(&name)));
        let in_force: usize = in_force.trim().parse().unwrap();
        assert!(
            in_force == 0 || count <= in_force || files.contains_key(&name),
            "a migration redefines {name}: add functions/{name}.sql with the definition that is in force"
        );
    }
}
