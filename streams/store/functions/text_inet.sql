-- An address, or null. Catching an exception costs a subtransaction: only what may be IPv6 needs text_inet_checked.
create or replace function text_inet(value text) returns inet language sql immutable parallel unsafe as $$
    select case
        when value ~ '^(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}$' then value::inet
        when value ~ '[:%]' then text_inet_checked(value)
    end
$$;
