// dt-sql-parser imports folders and files without their ending, which bundlers allow and Node.js does not.
export async function resolve(specifier, context, next) {
  for (const ending of ['', '.js', '/index.js']) {
    try {
      return await next(specifier + ending, context);
    } catch (e) {
      if (!specifier.startsWith('.') || !['ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT'].includes(e.code)) throw e;
    }
  }
  return next(specifier, context);
}
