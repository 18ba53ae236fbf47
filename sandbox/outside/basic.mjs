/** What an `Authorization: Basic` says (RFC 7617): `{user, password}`, or `null` for anything else. */
export function basicOf(authorization) {
  const [, encoded] = /^Basic +(\S+)$/i.exec(authorization) ?? [];
  try {
    const [, user, password] = /^([^:]*):(.*)$/s.exec(atob(encoded));
    return { user, password };
  } catch {
    return null;
  }
}
