/** What a seed runs: a configuration, who sends and receives, and what goes wrong. */
import { Dice } from './dice.ts'
import { type DiskFaults, type MediumTraits, NO_DISK_FAULTS } from './sim_disk.ts'

export const LEVELS = ['error', 'info', 'debug'] as const
export type Level = (typeof LEVELS)[number]

/** `file` can read again (receipts: position), `client` sends again (receipts: sender), `noise` is gone once sent. */
export type SourceKind = 'file' | 'client' | 'noise'
export type StorageKind = 'memory' | 'filesystem' | 'memrb'

/** What filters and processors do; each has a counterpart in ways.ts. */
export type StepPlan =
  | { readonly kind: 'grep'; readonly level: Level }
  | { readonly kind: 'modify'; readonly key: string }

export interface ProcessorPlan {
  readonly step: StepPlan
  /** Only for events of this level. */
  readonly condition: Level | undefined
}

export interface RewritePlan {
  readonly kind: 'rewrite'
  readonly level: Level
  /** The new tag is this and the old one. */
  readonly prefix: string
  readonly keeps: boolean
  readonly storage: 'memory' | 'filesystem'
  /** `emitter_mem_buf_limit`, 0 is none; a record that does not fit stays under its tag. */
  readonly limit: string | undefined
}

export interface FilterPlan {
  readonly alias: string
  readonly match: string
  readonly step: StepPlan | RewritePlan
}

export interface RoutePlan {
  readonly name: string
  /** Undefined for the default route. */
  readonly level: Level | undefined
  readonly outputs: readonly string[]
}

export interface InputPlan {
  readonly kind: SourceKind
  /** One stream of events for each tag. */
  readonly tags: readonly string[]
  readonly eventsOfEach: number
  /** The streams of a file are read side by side. */
  readonly isParallel: boolean
  /** Largest text of an event. */
  readonly textBytesMax: number
  readonly storage: StorageKind
  readonly memBufLimit: string | undefined
  readonly pausesOnChunks: boolean
  readonly acknowledge: 'stored' | 'delivered'
  /** Records per second. */
  readonly rateGate: number | undefined
  readonly processors: readonly ProcessorPlan[]
  /** Conditional routes; empty when the tag decides. */
  readonly routes: readonly RoutePlan[]
  /** Outputs that a plain route adds. */
  readonly extra: readonly string[]
  /** Counts changes of a setting that means nothing. */
  readonly variant: number
}

/** What a remote does with a chunk. */
export type Fate =
  | 'ok'
  | 'later'
  | 'slow'
  | 'refuse'
  | 'throw'
  | 'partial'
  | 'hang'
  | 'wrong'
  | 'drop'
  | 'dropSome'
  | 'die'

export interface OutputPlan {
  readonly alias: string
  readonly match: string
  readonly isConcurrent: boolean
  readonly retryLimit: string
  /** Attempts of a chunk; undefined for no limit. */
  readonly attemptsMax: number | undefined
  readonly totalLimit: string | undefined
  readonly processors: readonly ProcessorPlan[]
  readonly fates: Readonly<Partial<Record<Fate, number>>>
  /** Share of the time that it takes nothing at all. */
  readonly outages: number
  /** It is in the configuration from the first run on. */
  readonly isFirst: boolean
  /** See `InputPlan`. */
  readonly variant: number
}

export interface ServicePlan {
  readonly flush: number
  readonly grace: number
  /** `storage.path`. */
  readonly path: string | undefined
  readonly sync: 'normal' | 'full'
  readonly checksum: boolean
  readonly maxChunksUp: number
  readonly backlogLimit: string | undefined
  readonly flushesBacklog: boolean
  readonly deletesBad: boolean
  readonly keepsRejected: boolean
  readonly rejectedLimit: number | undefined
  readonly schedulerBase: number
  readonly schedulerCap: number
}

/** How often things happen to a run, for each step. */
export interface StormPlan {
  readonly steps: number
  readonly processCrash: number
  readonly powerLoss: number
  readonly stop: number
  /** A stop is followed by a configuration with other outputs. */
  readonly changes: boolean
  /** It goes on with another configuration. */
  readonly reload: number
  readonly diskFaults: DiskFaults
  /** The disk is full now and then. */
  readonly fillsDisk: boolean
  readonly traits: MediumTraits
  /** The wall clock is set at a start now and then. */
  readonly setsClock: boolean
}

/** An instance in a configuration that does not start. */
export const BROKEN = -1

/** Numbers of the inputs and outputs that are in a configuration, in their order there. */
export interface Seats {
  readonly inputs: readonly number[]
  readonly outputs: readonly number[]
}

/** A configuration and what is around it. Those of one simulation have the same inputs and outputs, by number. */
export interface Plan {
  readonly seed: number
  readonly isLarge: boolean
  readonly seats: Seats
  /** Nothing in the configuration may drop an event. */
  readonly isStrict: boolean
  readonly isYaml: boolean
  readonly service: ServicePlan
  readonly inputs: readonly InputPlan[]
  readonly filters: readonly FilterPlan[]
  readonly outputs: readonly OutputPlan[]
  /** Instances have their aliases in the configuration; otherwise they are known by their numbers. */
  readonly isNamed: boolean
  readonly storm: StormPlan
}

export function makePlan(seed: number): Plan {
  const dice = new Dice(seed, 0)
  const traits = {
    seed,
    isStrict: dice.chance(0.5),
    isLarge: dice.chance(0.04),
    path: dice.chance(0.85) ? STORAGE_PATHS[0] : undefined
  }
  return new Planner(dice, traits).plan()
}

/** Where chunks are on the simulated disk. */
export const STORAGE_PATHS: readonly string[] = ['/var/spillway', '/var/other']

/** What all configurations of a simulation have in common. */
interface Traits extends Pick<Plan, 'seed' | 'isStrict' | 'isLarge'> {
  readonly path: string | undefined
}

const RETRY_FORMS: readonly (readonly [text: string, attemptsMax: number | undefined])[] = [
  ['no_limits', undefined],
  ['false', undefined],
  ['off', undefined],
  ['no_retries', 1],
  ['1', 2],
  ['3', 4],
  ['6', 7]
]

/** Makes the parts of plans. */
export class Planner {
  readonly #seed: number
  readonly #dice: Dice
  readonly #isStrict: boolean
  readonly #isLarge: boolean
  readonly #path: string | undefined
  readonly #hasPath: boolean
  readonly #sync: ServicePlan['sync']
  readonly #maxChunksUp: number

  constructor(dice: Dice, { seed, isStrict, isLarge, path }: Traits) {
    this.#seed = seed
    this.#dice = dice
    this.#isStrict = isStrict
    this.#isLarge = isLarge
    this.#path = path
    this.#hasPath = path !== undefined
    this.#sync = this.#dice.chance(0.45) ? 'full' : 'normal'
    this.#maxChunksUp = this.#dice.pick([1, 2, 4, 128])
  }

  plan(): Plan {
    const dice = this.#dice
    const isYaml = dice.chance(0.5)
    const storm = this.#storm()
    const outputs = this.#outputs(isYaml, storm)
    const aliases = outputs.map(({ alias }) => alias)
    const inputs = Array.from({ length: dice.int(1, 3) }, (_, index) =>
      this.input(index, isYaml, aliases)
    )
    return {
      seed: this.#seed,
      isStrict: this.#isStrict,
      isLarge: this.#isLarge,
      isYaml,
      service: this.service(),
      inputs,
      filters: this.filters(),
      outputs,
      seats: {
        inputs: [...inputs.keys()],
        outputs: [...outputs.keys()].filter(index => outputs[index].isFirst)
      },
      isNamed:
        inputs.some(({ routes, extra }) => routes.length + extra.length > 0) || dice.chance(0.6),
      storm
    }
  }

  service(): ServicePlan {
    const dice = this.#dice
    const schedulerBase = dice.int(1, 5)
    return {
      flush: dice.pick([0.2, 0.5, 1, 1, 5]),
      grace: dice.pick([0, 1, 2, 5, 5, -1]),
      path: this.#path,
      sync: this.#sync,
      checksum: dice.chance(0.3),
      maxChunksUp: this.#maxChunksUp,
      backlogLimit: dice.pick([undefined, '1', '1K', '5K']),
      flushesBacklog: dice.chance(0.2),
      deletesBad: dice.chance(0.2),
      keepsRejected: this.#hasPath && dice.chance(0.5),
      rejectedLimit: dice.chance(0.3) ? dice.int(500, 8_000) : undefined,
      schedulerBase,
      schedulerCap: schedulerBase + dice.int(1, 40)
    }
  }

  #storm(): StormPlan {
    const dice = this.#dice
    const crashes = dice.weighted({ none: 2, process: 4, power: 3 })
    const changes = dice.chance(0.25)
    return {
      steps: dice.int(15, 90),
      processCrash: crashes === 'none' ? 0 : dice.pick([0.02, 0.05]),
      powerLoss: crashes === 'power' ? dice.pick([0.02, 0.05]) : 0,
      stop: dice.pick(changes ? [0.04, 0.08] : [0, 0.01, 0.04]),
      changes,
      reload: new Dice(this.#seed, 6).pick([0, 0, 0.05, 0.15]),
      diskFaults: this.#diskFaults(),
      fillsDisk: this.#hasPath && dice.chance(0.3),
      traits: {
        forgetsFailedSyncs: dice.chance(0.4),
        losesNewFolders: dice.chance(0.4)
      },
      setsClock: dice.chance(0.1)
    }
  }

  #diskFaults(): DiskFaults {
    const dice = this.#dice
    const level = this.#hasPath ? dice.weighted({ none: 5, some: 3, many: 2 }) : 'none'
    if (level === 'none') {
      const shortWrite = dice.pick([0, 0.2])
      return { ...NO_DISK_FAULTS, shortWrite, slowSync: dice.pick([0, 0.1]) }
    }
    const one = level === 'some' ? 0.02 : 0.15
    const faults: Record<keyof DiskFaults, number> = { ...NO_DISK_FAULTS }
    for (const key of Object.keys(faults) as (keyof DiskFaults)[]) {
      if (dice.chance(0.6)) faults[key] = one
    }
    // A sync that fails is followed by ones that do not only where there are many.
    if (this.#sync === 'full' && dice.chance(0.4)) faults.sync = 0.3
    return faults
  }

  // --- inputs

  input(index: number, isYaml: boolean, outputs: readonly string[]): InputPlan {
    const dice = this.#dice
    const kind: SourceKind = dice.weighted({ file: 5, client: 4, noise: this.#isStrict ? 0 : 1 })
    const storage: StorageKind = dice.weighted({
      memory: 4,
      filesystem: this.#hasPath ? 6 : 0,
      memrb: this.#isStrict ? 0 : 1
    })
    const needsDelivery = this.#isStrict && kind === 'client' && storage !== 'filesystem'
    const tags = [`in${index}`]
    if (dice.chance(0.3)) tags.push(`in${index}.b`)
    const isSplit = isYaml && dice.chance(0.3)
    const memBufLimit = dice.pick([undefined, undefined, '1', '1K', '8K'])
    return {
      kind,
      tags,
      isParallel: dice.chance(0.5),
      eventsOfEach: this.#isLarge ? dice.int(4, 14) : dice.int(5, 90),
      textBytesMax: this.#isLarge ? 400_000 : dice.pick([10, 200, 1_500]),
      storage,
      memBufLimit: storage === 'memrb' ? '3K' : memBufLimit,
      pausesOnChunks: dice.chance(0.2),
      acknowledge: needsDelivery || dice.chance(0.25) ? 'delivered' : 'stored',
      rateGate: dice.chance(0.1) ? dice.int(5, 60) : undefined,
      processors: isYaml ? this.#processors(`in${index}`) : [],
      routes: isSplit ? this.#routes(index, outputs) : [],
      extra: isYaml && !isSplit && dice.chance(0.1) ? [dice.pick(outputs)] : [],
      variant: 0
    }
  }

  #routes(index: number, outputs: readonly string[]): RoutePlan[] {
    const dice = this.#dice
    const some = (): string[] => [dice.pick(outputs), ...dice.some(outputs, 0.2)]
    const routes: RoutePlan[] = [
      { name: `errs${index}`, level: 'error', outputs: [...new Set(some())] }
    ]
    if (dice.chance(0.8)) {
      routes.push({ name: `rest${index}`, level: undefined, outputs: [...new Set(some())] })
    }
    return routes
  }

  #processors(key: string): ProcessorPlan[] {
    const dice = this.#dice
    const processors: ProcessorPlan[] = []
    if (dice.chance(0.25)) {
      const condition = dice.chance(0.5) ? dice.pick(LEVELS) : undefined
      processors.push({ step: { kind: 'modify', key }, condition })
    }
    if (dice.chance(0.15)) processors.push({ step: this.#grep(), condition: undefined })
    return processors
  }

  // --- filters

  filters(): FilterPlan[] {
    const dice = this.#dice
    const filters: Omit<FilterPlan, 'alias'>[] = []
    if (dice.chance(0.3)) filters.push({ match: this.#match(), step: this.#grep() })
    if (dice.chance(0.3)) {
      filters.push({ match: this.#match(), step: { kind: 'modify', key: 'mark' } })
    }
    if (dice.chance(0.4)) filters.push(this.#rewrite('re', dice.pick(['in*', 'in0', 'errs*'])))
    if (dice.chance(0.1)) filters.push(this.#rewrite('again', 're.*'))
    if (dice.chance(0.2)) {
      filters.push({ match: this.#match(), step: { kind: 'modify', key: 'late' } })
    }
    return filters.map((filter, index) => ({ alias: `filter${index}`, ...filter }))
  }

  #rewrite(prefix: string, match: string): Omit<FilterPlan, 'alias'> {
    const dice = this.#dice
    return {
      match,
      step: {
        kind: 'rewrite',
        level: prefix === 're' ? dice.pick(LEVELS) : 'error',
        prefix,
        keeps: dice.chance(0.5),
        storage: this.#hasPath && dice.chance(0.4) ? 'filesystem' : 'memory',
        limit: this.#isLarge ? '0' : !this.#isStrict && dice.chance(0.2) ? '2K' : undefined
      }
    }
  }

  #grep(): StepPlan {
    return { kind: 'grep', level: this.#dice.pick(LEVELS) }
  }

  #match(): string {
    return this.#dice.pick(['*', '*', 'in*', 'in0', 'in1*', 're.*', 'errs*'])
  }

  // --- outputs

  #outputs(isYaml: boolean, storm: StormPlan): OutputPlan[] {
    const dice = this.#dice
    const count = dice.int(1, 3)
    return Array.from({ length: count }, (_, index) => this.output(index, isYaml, storm))
  }

  output(index: number, isYaml: boolean, storm: StormPlan): OutputPlan {
    const dice = this.#dice
    const [retryLimit, attemptsMax] = this.#isStrict
      ? dice.pick(RETRY_FORMS.slice(0, 3))
      : dice.pick(RETRY_FORMS)
    const fates = this.#fatesIn(storm)
    return {
      alias: `out${index}`,
      match: index === 0 ? '*' : this.#match(),
      isConcurrent: dice.chance(0.4),
      retryLimit,
      attemptsMax,
      totalLimit: !this.#isStrict && dice.chance(0.3) ? dice.pick(this.#totalLimits) : undefined,
      processors: isYaml ? this.#processors(`out${index}`) : [],
      fates,
      outages: dice.pick([0, 0, 0.05, 0.2]),
      isFirst: index === 0 || !storm.changes || dice.chance(0.7),
      variant: 0
    }
  }

  get #totalLimits(): readonly string[] {
    return this.#isLarge ? ['300K', '1M'] : ['1K', '4K', '20K']
  }

  #fatesIn({ processCrash }: StormPlan): OutputPlan['fates'] {
    const fates = { ...this.#fates() }
    if (processCrash === 0) delete fates.die
    return fates
  }

  #fates(): OutputPlan['fates'] {
    const dice = this.#dice
    const base = { ok: 10, later: 5 }
    switch (dice.weighted({ good: 2, busy: 2, picky: 2, broken: 2, hanging: 1, all: 2 })) {
      case 'good':
        return base
      case 'busy':
        return { ...base, slow: 5, refuse: 8 }
      case 'picky':
        return { ...base, partial: 10, refuse: 2, ...this.#drops(3) }
      case 'broken':
        return { ...base, throw: 5, wrong: 5, die: 1, ...this.#drops(1) }
      case 'hanging':
        return { ...base, hang: 2, slow: 5 }
      case 'all':
        return {
          ok: 8,
          later: 4,
          slow: 3,
          refuse: 4,
          throw: 2,
          partial: 4,
          hang: 0.5,
          wrong: 1,
          die: 0.5,
          ...this.#drops(1)
        }
    }
  }

  /** Answers that give events up: nothing for a strict plan. */
  #drops(weight: number): OutputPlan['fates'] {
    return this.#isStrict ? {} : { drop: weight, dropSome: weight }
  }
}
