-- Analyses: findings that are seen again, and what longtail keeps so that it reads each day once.

-- A finding of an analysis (kind longtail, snowshoe or botnet) is one row, however often it is found: its id is a function of kind, rule and key, and a
-- run that finds more of it makes a new revision. A signal is found once per episode; the new columns are null there.
alter table findings
    alter column dimension drop not null,
    -- how sure or how odd, 0 to 1
    add column confidence real,
    -- of its sessions
    add column first_seen timestamptz,
    add column last_seen timestamptz,
    -- rises when a run finds it with another severity, confidence (to a tenth), time, sensor, source or session; each revision is published once. Title
    -- and evidence are of the revision: they tell of the whole window of its run
    add column revision integer not null default 1,
    -- when this revision was written
    add column updated_at timestamptz,
    -- the job that wrote this revision; null when it was no job
    add column job_id uuid,
    -- addresses
    add column sources text[],
    -- hash of what makes the revision
    add column content bytea;
-- For the list of findings, newest first, and for the campaigns that a run may see again.
create index findings_updated on findings ((coalesce(updated_at, created_at)) desc, finding_id);
create index findings_campaigns on findings (kind, last_seen) where rule = 'campaign';

-- The sessions that a finding of an analysis is made of.
create table finding_sessions (
    finding_id uuid not null references findings on delete cascade,
    -- oldest first, from 1
    position integer not null,
    sensor text not null,
    session text not null,
    primary key (finding_id, position)
);
create index finding_sessions_session on finding_sessions (sensor, session);

-- The events of a finding's sessions.
create view finding_events as
    select f.finding_id, e.* from finding_sessions f join events e on e.sensor = f.sensor and e.session = f.session;

-- What longtail made of a whole UTC day (analysis::longtail::Part), so that a moved window computes only days that are new or have changed.
-- Nothing depends on it: without it a run takes longer.
create table longtail_parts (
    -- a sensor, or '' for all
    scope text not null,
    from_at timestamptz not null,
    to_at timestamptz not null,
    -- analysis::longtail::VERSION
    version smallint not null,
    -- what the day's sessions looked like just before: their number, and all (sensor, session, xmin) of their features. A late event writes features
    -- anew, so the row has another xmin, and the day is computed again
    digest bytea not null,
    sessions bigint not null,
    part bytea not null,
    computed_at timestamptz not null default clock_timestamp(),
    primary key (scope, from_at, to_at)
);

-- Trained models of longtail, by what they were trained on and how.
create table longtail_models (
    scope text not null,
    id text not null,
    version smallint not null,
    model bytea not null,
    trained_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz not null default clock_timestamp(),
    primary key (scope, id)
);

-- Scores of the sessions that are at all odd (0.5 and more), as the last run over their time gave them.
create table longtail_scores (
    sensor text not null,
    session text not null,
    -- of the session, so that a run replaces those of its window
    started_at timestamptz not null,
    score real not null,
    -- from which score on it was a finding
    threshold real not null,
    job_id uuid,
    analysed_at timestamptz not null default clock_timestamp(),
    primary key (sensor, session)
);
create index longtail_scores_started on longtail_scores (started_at);

-- The predecessor's table of this name, over ours: every session that an analysis reads.
create view longtail_features as
    select s.session as session_id, s.sensor,
        -- when the session began: the day of longtail_cache_summary
        s.started_at as analysis_date,
        -- feature_elements says what each element is
        f.vector as feature_vector,
        -- 0 for what is not odd, and for what no run has looked at
        coalesce(l.score, 0) as anomaly_score,
        -- of the newest definition
        f.version = (select max(version) from feature_elements) as is_valid,
        -- when the score was given
        l.analysed_at
    from session_features f
    join sessions s on s.sensor = f.sensor and s.session = f.session
    left join longtail_scores l on l.sensor = f.sensor and l.session = f.session
    where s.started_at is not null;

-- The predecessor's daily summary. last_updated: when longtail last read the day, or scored a session of it.
create view longtail_cache_summary as
    select d.analysis_day, d.sessions_analyzed, d.anomalies_detected, greatest(d.analysed_at, p.computed_at) as last_updated
    from (
        select date_trunc('day', analysis_date) as analysis_day, count(*) as sessions_analyzed,
            count(*) filter (where anomaly_score > 0.7) as anomalies_detected, max(analysed_at) as analysed_at
        from longtail_features where is_valid group by 1
    ) d
    left join (select from_at, max(computed_at) as computed_at from longtail_parts group by 1) p on p.from_at = d.analysis_day;
