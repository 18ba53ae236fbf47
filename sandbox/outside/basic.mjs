/** `{user, password}` of an `Authorization: Basic` (RFC 7617), or `null` for anything else. */
export function basicOf(authorization) {
  const [, encoded] = /^Basic +(\S+)$/i.exec(authorization) ?? [];
  try {
    const [, user, password] = /^([^:]*):(.*)$/s.exec(atob(encoded));
    return { user, password };
  } catch {
    return null;
  }
}
