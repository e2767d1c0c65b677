-- Adds the partition of one day and those of its panes, idempotently and without stopping readers or writers. Returns false when the day is sealed.
create or replace function events_add_day(of_day date) returns boolean language plpgsql as $$
declare
    partition text := 'events_' || to_char(of_day, 'YYYYMMDD');
begin
    if exists (select from sealed_days where day = of_day) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('cowriestream.events_add_day'));
    if to_regclass(partition) is null then
        execute format('create table %I (like events including all)', partition);
        execute format('alter table events attach partition %I for values from (%L) to (%L)',
            partition, of_day || ' 00:00:00+00', (of_day + 1) || ' 00:00:00+00');
    end if;
    perform panes_add_day(of_day);
    return true;
end $$;
