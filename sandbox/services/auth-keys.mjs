/** The public half of the key with which auth.chitty.cc would sign JWTs (RFC 7517). */
export const JWKS = { keys: [{"kty":"EC","x":"JAI-6uRc-5PMJefIk-5Bt9XDh5rMndxK-QM6c751w9Y","y":"VagD4VTBLdaQuTMePcGOQKGy3JKbIv2VojT5guY2BbM","crv":"P-256","kid":"sandbox-1","alg":"ES256","use":"sig"}] };
