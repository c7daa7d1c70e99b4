-- Beside tables of Supabase, whose roles are there: the one that Longshore acts under.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'longshore_service') THEN
        BEGIN
            CREATE ROLE longshore_service NOLOGIN NOINHERIT BYPASSRLS;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- Roles belong to the whole server: somebody made it for another database meanwhile.
            NULL;
        END;
    END IF;
    IF NOT pg_catalog.pg_has_role(current_user, 'longshore_service', 'MEMBER') THEN
        GRANT longshore_service TO CURRENT_USER;
    END IF;
END
$$;
