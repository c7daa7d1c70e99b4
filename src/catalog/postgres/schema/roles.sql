-- The roles that policies speak of, and the one that Longshore acts under. Those that exist stay as they are.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('anon', 'NOLOGIN NOINHERIT'),
        ('authenticated', 'NOLOGIN NOINHERIT'),
        ('service_role', 'NOLOGIN NOINHERIT BYPASSRLS'),
        ('longshore_service', 'NOLOGIN NOINHERIT BYPASSRLS')
    ) AS roles (name, options) LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.options);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Roles belong to the whole server: somebody made it for another database meanwhile.
                NULL;
            END;
        END IF;
        IF NOT pg_catalog.pg_has_role(current_user, wanted.name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted.name);
        END IF;
    END LOOP;
END
$$;

DO $$
BEGIN
    IF to_regnamespace('auth') IS NULL THEN
        CREATE SCHEMA auth;
        GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $f$
            SELECT CAST(coalesce(
                nullif(current_setting('request.jwt.claim.sub', true), ''),
                CAST(nullif(current_setting('request.jwt.claims', true), '') AS jsonb) ->> 'sub'
            ) AS uuid)
        $f$;
    END IF;
    IF to_regprocedure('auth.role()') IS NULL THEN
        CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $f$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.role', true), ''),
                CAST(nullif(current_setting('request.jwt.claims', true), '') AS jsonb) ->> 'role'
            )
        $f$;
    END IF;
    IF to_regprocedure('auth.email()') IS NULL THEN
        CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS $f$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.email', true), ''),
                CAST(nullif(current_setting('request.jwt.claims', true), '') AS jsonb) ->> 'email'
            )
        $f$;
    END IF;
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $f$
            SELECT CAST(nullif(current_setting('request.jwt.claims', true), '') AS jsonb)
        $f$;
    END IF;
END
$$;
