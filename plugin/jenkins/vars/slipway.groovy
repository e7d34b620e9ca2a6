// SPDX-License-Identifier: MIT
/*
 * slipway: a Slipway agent's actions as steps.
 *
 * Scripted, and in script { }:   slipway.build()   slipway.test()   slipway.approve(submitter: 'ops')
 * In steps { } of Declarative:   slipway 'build'   slipway 'test'   slipway action: 'approve', submitter: 'ops'
 *
 * All of it runs the program `slipway` by `sh` (resources/org/slipway/slipway.sh). What comes from outside gets there
 * in the environment, word by word, so that nothing is ever quoted or interpolated.
 *
 * A call's idempotency key is made of the build and the action: a build that is resumed, or whose `sh` was lost,
 * follows the same call again. A call that has failed is another call the next time, so `retry` means what it says.
 *
 * Nothing is kept in fields: those are lost when Jenkins restarts. `env` is not.
 */
import com.cloudbees.groovy.cps.NonCPS

// ---- as one step -----------------------------------------------------------------------------------

def call(String action) {
    return perform(action, [:])
}

def call(Map options) {
    Map others = [:] + options
    String action = others.remove('action')
    if (!action) {
        error "slipway: say which action: slipway action: 'build'"
    }
    return perform(action, others)
}

def call(Map options, String action) {
    return perform(action, options)
}

def perform(String action, Map options) {
    switch (action) {
        case 'approve': return approve(options)
        case 'changes': return changes(options)
        case 'health': return health(options)
        case 'rollback': return rollback(options)
        case 'verify-staging': return verifyStaging(options)
        case 'deploy-staging': return deployStaging(options)
        case 'deploy-prod': return deployProd(options)
        case 'verify-prod': return verifyProd(options)
        default: return follow(action, options, [])
    }
}

// ---- the actions -----------------------------------------------------------------------------------

def build(Map options = [:]) {
    return follow('build', options, [])
}

def test(Map options = [:]) {
    return follow('test', options, [])
}

/* Groovy keeps the word, but not behind a dot: slipway.package() works, and pack() is the same. */
def 'package'(Map options = [:]) {
    return follow('package', options, [])
}

def pack(Map options = [:]) {
    return follow('package', options, [])
}

def deployStaging(Map options = [:]) {
    return deploy(options, 'staging')
}

def verifyStaging(Map options = [:]) {
    return verify(options, 'staging')
}

def deployProd(Map options = [:]) {
    return deploy(options, 'prod')
}

def verifyProd(Map options = [:]) {
    return verify(options, 'prod')
}

def deploy(Map options, String usual) {
    String environment = environmentOf(options, usual)
    List words = options.from ? ['--from', options.from] : []

    if (options.evidence) {
        words = words + ['--evidence', options.evidence]
    } else if (env."${flag('APPROVED', environment)}") {
        unstash stashOf(environment)
        words = words + ['--evidence', ".slipway/${placeOf(environment)}/release.intoto.jsonl".toString()]
    }
    return follow('deploy-' + environment, without(options, ['environment', 'evidence', 'from']), words)
}

def verify(Map options, String usual) {
    return follow('verify-' + environmentOf(options, usual), without(options, ['environment']), [])
}

/* Nobody has to release it, but who started the build stands in the host's audit log. */
def rollback(Map options = [:]) {
    String environment = environmentOf(options, 'prod')
    List words = options.to ? ['--param', "to=${options.to}".toString()] : []

    return follow('rollback-' + environment, without(options, ['environment', 'to']) + [again: true], words)
}

/* Any other action of the agent's host. */
def action(Map options = [:], String name) {
    return follow(name, options, [])
}

// ---- what would change, and who releases it --------------------------------------------------------

/* The whole change against what runs there: a map with text, from, to, relation, commits, files, … */
def changes(Map options = [:]) {
    String environment = environmentOf(options, 'prod')
    String place = placeOf(environment)
    String file = ".slipway/${place}/change.json"
    List settings = ["SLIPWAY_PLACE=${place}".toString()]
    List words = ['changes', '--env', environment, '--save', file]

    check(options, ['environment', 'agent', 'git', 'commit', 'ref'])
    if (options.git || (env.GIT_URL && env.GIT_COMMIT)) {
        words = words + sourceWords(options, '--repo')
    } else {
        settings = settings + ['SLIPWAY_SOURCE=--repo']
    }
    words = words + refWords(options)
    finish('changes', execute('changes', words, settings, options), null)
    return fromJson(readFile(file: file, encoding: 'UTF-8'))
}

/*
 * The controller's button: shows the change, waits for a person, and signs what they said with the controller's key.
 * Outside of `node` it holds no executor while it waits.
 */
def approve(Map options = [:]) {
    String environment = environmentOf(options, 'prod')
    Map change = null
    String approver = null

    check(options, ['environment', 'agent', 'git', 'commit', 'ref', 'run', 'label', 'message', 'ok', 'id', 'submitter',
                    'credentialsId', 'valid', 'reason'])
    onNode(options.label) {
        change = changes(only(options, ['environment', 'agent', 'git', 'commit', 'ref']))
        gather(environment, options)
    }
    approver = ask(environment, change, options)
    onNode(options.label) {
        sign(environment, approver, options)
    }
    return approver
}

def gather(String environment, Map options) {
    String path = ".slipway/${placeOf(environment)}/release.intoto.jsonl"
    List words = ['release', 'collect', '--run', runOf(options), '--output', path]

    finish('release collect', execute('release collect', words, [], options), null)
    stash name: stashOf(environment), includes: ".slipway/${placeOf(environment)}/*".toString()
}

/* Only the submitter is asked for: the newer of Jenkins' buttons drops any other parameter. */
def ask(String environment, Map change, Map options) {
    Map question = [
        message: options.message ?: questionOf(environment, change.text),
        ok: options.ok ?: "Release to ${environment}".toString(),
        id: options.id ?: plainName('release-' + environment),
        submitterParameter: 'APPROVER',
    ]
    def answer = null
    String name = null

    if (options.submitter) {
        question.put('submitter', options.submitter)
    }
    answer = input(question)
    name = answer instanceof Map ? answer.get('APPROVER') : answer
    if (!name) {
        error 'slipway: Jenkins does not say who pressed the button; releasing needs people who log in'
    }
    return name
}

def sign(String environment, String approver, Map options) {
    String place = ".slipway/${placeOf(environment)}"
    List words = ['approve', '--env', environment, '--approver', approver, '--via', 'jenkins', '--yes',
                  '--bundle', place + '/release.intoto.jsonl', '--change', place + '/change.json']
    String key = options.credentialsId ?: env.SLIPWAY_APPROVER_CREDENTIALS ?: 'slipway-approver-key'
    int status = 0

    words = words + (env.BUILD_URL ? ['--url', env.BUILD_URL] : [])
    words = words + (options.valid ? ['--valid', options.valid] : [])
    words = words + (options.reason ? ['--reason', options.reason] : [])
    unstash stashOf(environment)
    withCredentials([file(credentialsId: key, variable: 'SLIPWAY_APPROVER_KEY')]) {
        status = execute('approve', words, [], options)
    }
    finish('approve', status, null)
    stash name: stashOf(environment), includes: (place + '/*')
    dir(place) {
        archiveArtifacts artifacts: 'release.intoto.jsonl', fingerprint: true
    }
    env."${flag('APPROVED', environment)}" = 'true'
}

// ---- is the agent well? ----------------------------------------------------------------------------

/* Its answer as a map; an agent that is degraded makes the stage unstable, one that is away ends it. */
def health(Map options = [:]) {
    String file = '.slipway/health/health.json'
    Map answer = null
    int status = 0

    check(options, ['agent', 'label'])
    onNode(options.label) {
        status = execute('health', ['health', '--json'], ['SLIPWAY_PLACE=health', "SLIPWAY_OUTPUT=${file}".toString()], options)
        if (status > 1 || status < 0) {
            finish('health', status, null)
        }
        answer = fromJson(readFile(file: file, encoding: 'UTF-8'))
    }
    if (status == 1) {
        unstable "slipway: the agent is ${answer.status}: ${sentence(answer.problems)}"
    }
    return answer
}

// ---- a call ----------------------------------------------------------------------------------------

/* Calls an action, shows its log, and leaves its results with Jenkins. Returns how it ended, as a map. */
def follow(String action, Map options, List more) {
    String name = actionName(action)
    String run = runOf(options)
    String file = ".slipway/${name}/result.json"
    boolean isFetched = options.archive != null ? options.archive : name != 'package'
    List words = ['call', name, '--run', run, '--key', keyOf(run, name, options), '--result', file] + more
    List settings = ['SLIPWAY_PLACE=' + name]
    Map result = null
    int status = 0

    check(options, ['agent', 'run', 'git', 'commit', 'ref', 'source', 'params', 'timeout', 'silenceTimeout', 'archive',
                    'again', 'user'])
    if (name == 'build' || options.git || options.source) {
        words = words + sourceWords(options, '--git')
        settings = settings + sourceSettings(options)
        words = words + refWords(options)
    }
    words = words + (isFetched ? ['--artifacts', '.slipway/' + name + '/artifacts'] : [])
    words = words + (isFetched && name == 'package' ? ['--no-unpack'] : [])
    words = words + parameterWords(options) + userWords(options)
    status = execute('call ' + name, words, settings, options)
    if (fileExists(file)) {
        result = fromJson(readFile(file: file, encoding: 'UTF-8'))
        publish(name, result, isFetched)
    }
    if (status != 0 || options.again) {
        countTry(name)
    }
    finish(name, status, result)
    return result
}

/* Its exit status. A `sh` that Jenkins lost sight of (the node went away under it) is run again: the key is the same,
 * so the call goes on, and its log is shown from the beginning. */
int execute(String title, List words, List settings, Map options) {
    List all = words + (options.agent ? ['--agent', options.agent] : [])
    List variables = settings + ['SLIPWAY_WORDS=' + all.size()]
    String script = libraryResource('org/slipway/slipway.sh')
    int status = -1

    for (int i = 0; i < all.size(); i++) {
        variables = variables + ['SLIPWAY_WORD_' + (i + 1) + '=' + all[i]]
    }
    for (int attempt = 1; status < 0 && attempt <= 3; attempt++) {
        if (attempt > 1) {
            echo "slipway: Jenkins lost sight of '${title}'; following it again"
        }
        withEnv(variables) {
            status = sh(label: 'slipway ' + title, script: script, returnStatus: true)
        }
    }
    return status
}

/* Test results become Jenkins' own, artifacts stay with the build; what was signed travels in the bundle. */
def publish(String name, Map result, boolean isFetched) {
    List names = isFetched ? artifactNames(result) : []

    if (names.contains('junit')) {
        dir('.slipway/' + name + '/artifacts/junit') {
            junit testResults: '**/*', allowEmptyResults: true
        }
    }
    if (hasArtifacts(names)) {
        dir('.slipway/' + name + '/artifacts') {
            archiveArtifacts artifacts: '**', excludes: 'junit/**,release.intoto.jsonl', fingerprint: true
        }
    }
}

def finish(String title, int status, Map result) {
    if (status != 0) {
        error explain(title, status, result)
    }
}

/* Runs it here, or on a node where there is none yet. */
def onNode(String label, Closure body) {
    if (env.WORKSPACE) {
        return body()
    }
    return node(label ?: '') {
        body()
    }
}

// ---- words -----------------------------------------------------------------------------------------

def runOf(Map options) {
    return options.run ?: env.SLIPWAY_RUN ?:
        runName("${env.JENKINS_URL}\n${env.JOB_NAME}\n${currentBuild.startTimeInMillis}".toString(), env.JOB_NAME,
                env.BUILD_NUMBER)
}

def keyOf(String run, String name, Map options) {
    String tries = env."${flag('TRIES', name)}"

    return tries ? run + '.' + name + '.' + tries : run + '.' + name
}

def countTry(String name) {
    String tries = env."${flag('TRIES', name)}"

    env."${flag('TRIES', name)}" = '' + (tries ? Integer.parseInt(tries) + 1 : 2)
}

def sourceWords(Map options, String option) {
    if (options.source) {
        return ['--source', options.source] + (options.commit ? ['--commit', options.commit] : [])
    }
    if (options.git) {
        return [option, options.git] + (options.commit ? ['--commit', options.commit] : [])
    }
    return env.GIT_URL && env.GIT_COMMIT ? [option, env.GIT_URL, '--commit', env.GIT_COMMIT] : []
}

def sourceSettings(Map options) {
    return options.source || options.git || (env.GIT_URL && env.GIT_COMMIT) ? [] : ['SLIPWAY_SOURCE=--git']
}

def refWords(Map options) {
    return options.ref ? ['--ref', options.ref] : []
}

def userWords(Map options) {
    def people = null

    if (options.user) {
        return ['--user', options.user]
    }
    people = currentBuild.getBuildCauses('hudson.model.Cause$UserIdCause')
    return people.size() > 0 && people[0].userId ? ['--user', people[0].userId] : []
}

@NonCPS
List parameterWords(Map options) {
    List words = []

    for (entry in (options.params ?: [:]).entrySet()) {
        def value = entry.value
        boolean isText = value instanceof CharSequence

        words.add('--param')
        words.add(isText ? entry.key + '=' + value : entry.key + ':=' + (value == null ? 'null' : toJson(value)))
    }
    if (options.timeout) {
        words.add('--timeout')
        words.add('' + options.timeout)
    }
    if (options.silenceTimeout) {
        words.add('--silence-timeout')
        words.add('' + options.silenceTimeout)
    }
    return words
}

def environmentOf(Map options, String usual) {
    return actionName(options.environment ?: usual)
}

/* What becomes part of a path; an agent has no other names. */
def actionName(String name) {
    if (!isName(name)) {
        error "slipway: '${name}' is no name: letters, digits, '.', '_' and '-'"
    }
    return name
}

def check(Map options, List known) {
    String unknown = firstUnknown(options, known)

    if (unknown != null) {
        error "slipway: there is no option '${unknown}' here; there are ${known.join(', ')}"
    }
}

// ---- without steps ---------------------------------------------------------------------------------

@NonCPS
boolean isName(String name) {
    return name.matches('[A-Za-z0-9_][A-Za-z0-9._-]{0,99}')
}

@NonCPS
String plainName(String text) {
    return text.replaceAll('[^A-Za-z0-9_-]', '-')
}

@NonCPS
String placeOf(String environment) {
    return 'release-' + environment
}

@NonCPS
String stashOf(String environment) {
    return 'slipway-release-' + environment
}

@NonCPS
String flag(String what, String name) {
    return 'SLIPWAY_' + what + '_' + name.replaceAll('[^A-Za-z0-9]', '_')
}

/* Readable, and that of no other build: a controller, a job that was made anew, a long name. */
@NonCPS
String runName(String identity, String job, String number) {
    String name = job.replaceAll('[^A-Za-z0-9._-]', '_')
    String tail = name.length() > 40 ? name.substring(name.length() - 40) : name
    String mark = Integer.toString(identity.hashCode(), 36).replace('-', 'z')

    return tail.replaceAll('^[.-]+', '') + '-' + number + '-' + mark
}

@NonCPS
Map without(Map options, List names) {
    Map rest = [:]

    for (entry in options.entrySet()) {
        if (!names.contains(entry.key)) {
            rest.put(entry.key, entry.value)
        }
    }
    return rest
}

@NonCPS
Map only(Map options, List names) {
    Map some = [:]

    for (entry in options.entrySet()) {
        if (names.contains(entry.key)) {
            some.put(entry.key, entry.value)
        }
    }
    return some
}

@NonCPS
String firstUnknown(Map options, List known) {
    for (entry in options.entrySet()) {
        if (!known.contains(entry.key)) {
            return '' + entry.key
        }
    }
    return null
}

/* One line for each, which can be read where a browser joins them, too. */
@NonCPS
String questionOf(String environment, String text) {
    StringBuilder question = new StringBuilder('Release to ' + environment + '?')

    for (line in text.split('\n')) {
        if (!line.trim().isEmpty()) {
            question.append('\n• ').append(line.trim())
        }
    }
    return question.toString()
}

@NonCPS
String sentence(List problems) {
    return problems ? problems.join('; ') : 'it does not say why'
}

@NonCPS
List artifactNames(Map result) {
    List names = []

    for (artifact in (result.artifacts ?: [])) {
        names.add(artifact.name)
    }
    return names
}

@NonCPS
boolean hasArtifacts(List names) {
    for (name in names) {
        if (name != 'junit' && name != 'release.intoto.jsonl') {
            return true
        }
    }
    return false
}

@NonCPS
String explain(String title, int status, Map result) {
    String reason = result?.reason ? ': ' + result.reason : ''

    switch (status) {
        case 2: return "slipway: '" + title + "' cannot be called like this; the log says what is wrong"
        case 3: return 'slipway: the agent cannot be reached; name it with agent: or the variable SLIPWAY_AGENT, and ' +
            'see `slipway health` on this node'
        case 4: return "slipway: '" + title + "' was refused" + reason
        case 5: return "slipway: '" + title + "' timed out" + reason
        case 6: return "slipway: '" + title + "' was cancelled" + reason
        case 127: return 'slipway: this node has no program `slipway`; install it, or name it with the variable SLIPWAY_CLI'
        default: return status < 0 ? "slipway: Jenkins lost sight of '" + title + "' again and again; on the agent it goes on"
                                   : "slipway: '" + title + "' failed" + reason
    }
}

/* The parser's maps cannot be kept over a restart: these can. */
@NonCPS
def fromJson(String text) {
    return kept(new groovy.json.JsonSlurper().parseText(text))
}

@NonCPS
def kept(def value) {
    if (value instanceof Map) {
        Map map = [:]

        for (entry in value.entrySet()) {
            map.put(entry.key, kept(entry.value))
        }
        return map
    }
    if (value instanceof List) {
        List list = []

        for (item in value) {
            list.add(kept(item))
        }
        return list
    }
    return value
}

/* JsonOutput is whitelisted for maps only, so a value is written as that of one. */
@NonCPS
String toJson(def value) {
    String whole = groovy.json.JsonOutput.toJson([value: value])

    return whole.substring('{"value":'.length(), whole.length() - 1)
}
