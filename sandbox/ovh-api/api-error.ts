import { STATUS_CODES } from 'node:http';

/** A refusal as the API words it. `errorCode` and `errorClass` name the same thing in its old and new manner. */
export class ApiError extends Error {
  readonly status: number;
  readonly errorCode: string;
  readonly errorClass: string;
  readonly details: Readonly<Record<string, string>>;

  constructor(
    status: number,
    names: { readonly errorCode: string; readonly errorClass: string },
    message: string,
    details: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.errorCode = names.errorCode;
    this.errorClass = names.errorClass;
    this.details = details;
  }
}

/** Which of the coexisting shapes errors have. Real ones carry either naming, both, or the message alone. */
export type ErrorShape = 'both' | 'class' | 'errorCode' | 'message';

export function errorBody(error: ApiError, shape: ErrorShape): Readonly<Record<string, unknown>> {
  const { status, errorCode, errorClass, message, details } = error;
  const byClass = { class: errorClass, message, details };
  const byCode = { errorCode, httpCode: `${status} ${STATUS_CODES[status] ?? 'Error'}`, message };
  switch (shape) {
    case 'both':
      return { ...byCode, ...byClass };
    case 'class':
      return byClass;
    case 'errorCode':
      return byCode;
    case 'message':
      return { message };
    default:
      return shape satisfies never;
  }
}

const refusal =
  (status: number, errorCode: string, errorClass: string) =>
  (message: string, details?: Readonly<Record<string, string>>): ApiError =>
    new ApiError(status, { errorCode, errorClass }, message, details);

export const badRequest = refusal(400, 'BAD_REQUEST', 'Client::BadRequest');
export const invalidUrn = refusal(400, 'INVALID_RESOURCE_URN', 'Client::BadRequest');
export const invalidSignature = refusal(400, 'INVALID_SIGNATURE', 'Client::BadRequest');
export const outOfTime = refusal(400, 'QUERY_TIME_OUT', 'Client::BadRequest');
export const notLoggedIn = refusal(401, 'NOT_AUTHENTICATED', 'Client::Unauthorized');
export const invalidKey = refusal(403, 'INVALID_KEY', 'Client::Forbidden');
export const unknownCredential = refusal(403, 'NOT_CREDENTIAL', 'Client::Forbidden');
export const invalidCredential = refusal(403, 'INVALID_CREDENTIAL', 'Client::Forbidden');
export const notGranted = refusal(403, 'NOT_GRANTED_CALL', 'Client::Forbidden');
export const forbidden = refusal(403, 'FORBIDDEN', 'Client::Forbidden');
export const notFound = refusal(404, 'NOT_FOUND', 'Client::NotFound');
export const conflict = refusal(409, 'CONFLICT', 'Client::Conflict');
export const tooManyRequests = refusal(429, 'TOO_MANY_REQUESTS', 'Client::TooManyRequests');
export const serviceExpired = refusal(460, 'SERVICE_EXPIRED', 'Client::ServiceExpired');
export const internalError = refusal(500, 'INTERNAL_SERVER_ERROR', 'Server::InternalServerError');
