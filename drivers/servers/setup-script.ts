import { readFileSync } from 'node:fs';
import type { Server } from '../../domain/service.js';
import { helperPlace, installedHelper } from './installed-helper.js';
import { quoted } from './quoting.js';

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

export interface SetupWishes {
  /** Who the program runs as; made where it is missing. */
  readonly user: string;
  /** Who deploys; made where it is missing. */
  readonly login: string;
  /** A public key that the login shall let in. */
  readonly authorizedKey?: string;
  /** The host keys that are pinned already, as fingerprints with blanks between. */
  readonly pinned?: string;
  readonly dryRun: boolean;
  /** Whether a directory that belongs to somebody else may become root's. */
  readonly mayTakeDirectory: boolean;
}

/**
 * Settings that a release may make in its unit, by section. Left out is what opens files as root, names other users,
 * mounts, or acts on other units; some that are here may have certain values only (`helper-policy.sh`).
 */
export const allowedSettings: Readonly<Record<'Unit' | 'Service' | 'Install', readonly string[]>> = {
  Unit: words(`
    Description Documentation After Before Wants Requires
    StartLimitIntervalSec StartLimitBurst
  `),
  Service: words(`
    Type ExitType NotifyAccess GuessMainPID RemainAfterExit
    ExecCondition ExecStartPre ExecStart ExecStartPost ExecReload ExecStop ExecStopPost
    Restart RestartSec RestartSteps RestartMaxDelaySec RestartMode
    SuccessExitStatus RestartPreventExitStatus RestartForceExitStatus
    TimeoutSec TimeoutStartSec TimeoutStopSec TimeoutAbortSec RuntimeMaxSec WatchdogSec
    TimeoutStartFailureMode TimeoutStopFailureMode
    KillMode KillSignal RestartKillSignal ReloadSignal FinalKillSignal WatchdogSignal
    SendSIGHUP SendSIGKILL
    Environment UnsetEnvironment EnvironmentFile LoadCredential WorkingDirectory UMask Nice
    StandardInput StandardOutput StandardError
    SyslogIdentifier SyslogFacility SyslogLevel SyslogLevelPrefix LogLevelMax
    LogRateLimitIntervalSec LogRateLimitBurst
    StateDirectory StateDirectoryMode RuntimeDirectory RuntimeDirectoryMode
    RuntimeDirectoryPreserve CacheDirectory CacheDirectoryMode LogsDirectory LogsDirectoryMode
    LimitCPU LimitFSIZE LimitDATA LimitSTACK LimitCORE LimitRSS LimitNOFILE LimitAS
    LimitNPROC LimitMEMLOCK LimitLOCKS LimitSIGPENDING LimitMSGQUEUE
    MemoryMin MemoryLow MemoryHigh MemoryMax MemorySwapMax TasksMax OOMPolicy
    OOMScoreAdjust CPUWeight CPUQuota CPUAffinity AllowedCPUs IOWeight IOSchedulingClass
    IOSchedulingPriority CPUAccounting MemoryAccounting IOAccounting TasksAccounting
    IPAccounting IPAddressAllow IPAddressDeny
    AmbientCapabilities CapabilityBoundingSet NoNewPrivileges KeyringMode RemoveIPC
    ProtectSystem ProtectHome ProtectKernelTunables ProtectKernelModules ProtectKernelLogs
    ProtectControlGroups ProtectClock ProtectHostname ProtectProc ProcSubset
    PrivateTmp PrivateDevices PrivateNetwork PrivateUsers PrivateIPC PrivateMounts
    ReadOnlyPaths ReadWritePaths RestrictAddressFamilies RestrictNamespaces
    RestrictRealtime RestrictSUIDSGID RestrictFileSystems LockPersonality
    MemoryDenyWriteExecute SystemCallArchitectures SystemCallFilter SystemCallErrorNumber
    SystemCallLog IgnoreSIGPIPE TimerSlackNSec CoredumpFilter
  `),
  Install: ['WantedBy'],
};

/** What an administrator runs on a server, as root. Whole: nothing else has to be there. */
export function setupScript(server: Server, wishes: SetupWishes): string {
  const filledIn = {
    unit: server.unit,
    directory: server.directory,
    port: String(server.port),
    user: wishes.user,
    login: wishes.login,
    authorized_key: wishes.authorizedKey ?? '',
    pinned: wishes.pinned ?? '',
    dry: wishes.dryRun ? 'yes' : '',
    may_take: wishes.mayTakeDirectory ? 'yes' : '',
    helper: helperPlace.path,
  };
  const filled = [
    ...Object.entries(filledIn).map(([name, value]) => `${name}=${value === '' ? "''" : quoted(value)}`),
    `policy_text() {\n${hereDocument(policyText())}}`,
    `helper_text() {\n${hereDocument(installedHelper())}}`,
  ].join('\n');
  return readFileSync(new URL('setup.sh', import.meta.url), 'utf8').replace(/^# @words$/m, () => filled);
}

const policyText = (): string =>
  Object.entries(allowedSettings)
    .map(([section, names]) => `allow.${section}=${names.join(' ')}\n`)
    .join('');

const hereDocument = (text: string): string => `cat <<'END_OF_FILE'\n${text}END_OF_FILE\n`;
