-- An address, or null; for what may be IPv6.
create or replace function text_inet_checked(value text) returns inet language plpgsql immutable parallel unsafe as $$
declare
    plain text := split_part(value, '%', 1);
    address inet;
begin
    if plain !~ '^([0-9a-fA-F:]+:)?([0-9]{1,3}\.){3}[0-9]{1,3}$' and plain !~ '^[0-9a-fA-F]*:[0-9a-fA-F:]{1,44}$' or plain ~ '(^|[:.])0[0-9]+\.|\.0[0-9]+$' then
        return null;
    end if;
    address := plain::inet;
    return case when family(address) = 6 and address <<= '::ffff:0:0/96' then substr(host(address), 8)::inet else address end;
exception when others then
    return null;
end $$;
