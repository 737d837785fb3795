import type { VolumeId } from '../types.ts';

/** Where the rules are in the store. */
export const rulesKeys = {
  /** Above the document and the lock: both come with one read. */
  all: '/vdvs/rules/',
  document: '/vdvs/rules/document',
  /** On the lease of whoever changes what depends on volumes: while it is there nothing is created or attached. */
  lock: '/vdvs/rules/lock',
  /** Written with each growth under a quota: of two at once the second finds it changed and counts again. */
  ledger: (group: string, datastore: string) => `/vdvs/ledgers/${group}/${datastore}`,
  /** Groups that pay for volumes in the common name space, other than `_DEFAULT`. */
  charges: (datastore: string) => `/vdvs/charges/${datastore}/`,
  charge: (id: VolumeId) => `/vdvs/charges/${id.datastore}/${id.name}`,
} as const;
